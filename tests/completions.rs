//! The completion scripts: printed as checked in, loaded by their shells without a word, and of use.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::clado;

const SCRIPTS: [(&str, &str); 5] = [
    ("bash", include_str!("../completions/clado-credits.bash")),
    ("zsh", include_str!("../completions/_clado-credits")),
    ("fish", include_str!("../completions/clado-credits.fish")),
    ("powershell", include_str!("../completions/_clado-credits.ps1")),
    ("elvish", include_str!("../completions/clado-credits.elv")),
];

#[test]
fn the_binary_prints_the_scripts() {
    for (shell, script) in SCRIPTS {
        clado().args(["--completions", shell]).assert().code(0).stdout(script).stderr("");
    }
}

/// Runs `code` in a shell that reads no configuration, with the completions folder as its first argument.
/// `None`, and a word about it, where the shell is not installed.
fn shell(shell: &str, flags: &[&str], code: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(shell);
    command.args(flags).args(["-c", code]).env_clear().env("HOME", home.path()).env("FOLDER", folder);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path))).stdin(Stdio::null());
    let Ok(output) = command.output() else {
        assert!(std::env::var_os("ALL_SHELLS").is_none(), "{shell} is not installed");
        return None;
    };
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "{shell}: {complaint}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn bash_loads_its_script_and_completes_a_flag() {
    let code = r#"
        source "$FOLDER/clado-credits.bash"
        complete -p clado-credits >/dev/null || exit 1
        COMP_WORDS=(clado-credits --js) COMP_CWORD=1
        _clado__credits clado-credits --js clado-credits
        echo "${COMPREPLY[@]}"
    "#;
    if let Some(found) = shell("bash", &["--norc", "--noprofile"], code) {
        assert_eq!(found, "--json\n");
    }
}

#[test]
fn fish_loads_its_script_and_completes_a_flag() {
    let code = r#"source "$FOLDER/clado-credits.fish"; complete --do-complete "clado-credits --js""#;
    if let Some(found) = shell("fish", &["--no-config"], code) {
        assert!(found.starts_with("--json\t"), "{found}");
        assert_eq!(found.lines().count(), 1);
    }
}

/// Zsh completes only where somebody types, so it is given a terminal of its own by zpty.
#[test]
fn zsh_loads_its_script_and_completes_a_flag() {
    let code = r#"
        zmodload zsh/zpty
        zpty -b shell "PS1='ready ' PS2= zsh -f -i"
        zpty -w shell "fpath=(\$FOLDER \$fpath); autoload -Uz compinit; compinit -u -D; print load''ed"
        zpty -r -m shell seen "*loaded*" || exit 1
        zpty -w -n shell $'clado-credits --js\t'
        zpty -r -m shell seen "*--json*" || exit 1
        print -r -- "$seen"
        zpty -d shell
    "#;
    if let Some(seen) = shell("zsh", &["-f"], code) {
        assert!(seen.contains("--json"), "{seen}");
        assert!(!seen.contains("not found"), "{seen}");
    }
}

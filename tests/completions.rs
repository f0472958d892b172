//! The completion scripts: printed as checked in, loaded by their shells without an error, and useful there.

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;

use crate::common::{clado, has_program};

const SCRIPTS: [(&str, &str); 5] = [
    ("bash", include_str!("../completions/clado-credits.bash")),
    ("zsh", include_str!("../completions/_clado-credits")),
    ("fish", include_str!("../completions/clado-credits.fish")),
    (
        "powershell",
        include_str!("../completions/_clado-credits.ps1"),
    ),
    ("elvish", include_str!("../completions/clado-credits.elv")),
];

/// What is typed after the name of the program, and what the tab key makes of it in a directory with `some-file`.
const COMPLETED: [(&str, &str); 12] = [
    ("--js", "--json"),
    ("--color al", "--color always"),
    ("--color=al", "--color=always"),
    ("--api-key-file=some-f", "--api-key-file=some-file"),
    ("--api-key-file some-f", "--api-key-file some-file"),
    ("some-f", "some-f"),
    ("--json some-f", "--json some-f"),
    ("--min some-f", "--min some-f"),
    ("--timeout some-f", "--timeout some-f"),
    ("--api-key some-f", "--api-key some-f"),
    ("--api-url some-f", "--api-url some-f"),
    ("--completions some-f", "--completions some-f"),
];

#[test]
fn the_program_prints_the_scripts() {
    for (shell, script) in SCRIPTS {
        clado()
            .args(["--completions", shell])
            .assert()
            .code(0)
            .stdout(script)
            .stderr("");
    }
}

/// Runs a shell without configuration in a directory with `some-file`. `$FOLDER` is the folder of the scripts.
/// `None` where the shell is missing.
fn run_shell(shell: &str, arguments: &[&str], input: &str) -> Option<String> {
    if !has_program(shell) {
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("some-file"), "").unwrap();
    let mut command = Command::new(shell);
    command
        .args(arguments)
        .write_stdin(input)
        .current_dir(&home)
        .timeout(Duration::from_secs(60));
    command
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap());
    command.env(
        "FOLDER",
        Path::new(env!("CARGO_MANIFEST_DIR")).join("completions"),
    );
    let run = command.assert().success().stderr("");
    Some(String::from_utf8(run.get_output().stdout.clone()).unwrap())
}

#[test]
fn bash_completes_flags_values_and_the_key_file() {
    // An interactive bash completes its standard input, and writes its prompts to standard error.
    let code =
        r#"source "$FOLDER/clado-credits.bash" && exec bash --norc --noprofile -i 2>/dev/null"#;
    let mut input =
        r#"source "$FOLDER/clado-credits.bash"; clado-credits() { echo "$*"; }"#.to_owned() + "\n";
    COMPLETED
        .iter()
        .for_each(|(typed, _)| input += &format!("clado-credits {typed}\t\n"));
    if let Some(completed) = run_shell("bash", &["--norc", "--noprofile", "-c", code], &input) {
        assert_eq!(
            completed.lines().collect::<Vec<_>>(),
            COMPLETED.map(|(_, completed)| completed)
        );
    }
}

/// Zsh completes only in a terminal, so it is given one by zpty.
#[test]
fn zsh_completes_flags_values_and_the_key_file() {
    let code = r#"
        zmodload zsh/zpty
        zpty -b shell "PS1='ready ' PS2= zsh -f -i"
        zpty -w shell "fpath=(\$FOLDER \$fpath); autoload -Uz compinit; compinit -u -D; print load''ed"
        zpty -r -m shell seen "*loaded*" || exit 1
        # The quotes keep the echo of this line from looking like the output.
        zpty -w shell 'clado-credits() { print -r -- "complet""ed<$*>" }'
        for typed; do
            zpty -w shell "clado-credits $typed"$'\t'
            zpty -r -m shell seen "*completed<*>*" || exit 1
            print -r -- ${${seen##*completed<}%%>*}
        done
        zpty -d shell
    "#;
    let mut arguments = vec!["-f", "-c", code, "zsh"];
    arguments.extend(COMPLETED.map(|(typed, _)| typed));
    if let Some(completed) = run_shell("zsh", &arguments, "") {
        assert_eq!(
            completed.lines().collect::<Vec<_>>(),
            COMPLETED.map(|(_, completed)| completed)
        );
    }
}

#[test]
fn fish_completes_flags_values_and_the_key_file() {
    for (typed, completed) in COMPLETED {
        let code =
            r#"source "$FOLDER/clado-credits.fish"; complete --do-complete "clado-credits TYPED""#;
        let code = code.replace("TYPED", typed);
        let Some(offered) = run_shell("fish", &["--no-config", "-c", &code], "") else {
            return;
        };
        // Each offer replaces the last word; its description follows after a tab.
        let offered: Vec<&str> = offered
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        let wanted = completed.rsplit(' ').next().filter(|_| typed != completed);
        assert_eq!(offered, Vec::from_iter(wanted), "{typed}");
    }
}


use builtin;
use str;

set edit:completion:arg-completer[clado-credits] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'clado-credits'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'clado-credits'= {
            cand --min 'Exit with code 1 if fewer than CREDITS are left'
            cand --api-key 'The API key; it shows in the process list'
            cand --api-key-file 'Read the API key from a file, or from stdin if -'
            cand --api-url 'Base URL of the API [default: https://search.clado.ai]'
            cand --timeout 'Time limit for the whole run'
            cand --color 'Use colour: auto, always, never'
            cand --completions 'Print completions: bash, zsh, fish, powershell, elvish'
            cand --json 'Print the API''s JSON reply, unchanged'
            cand --plain 'Print only the number of credits'
            cand -q 'Print nothing on success'
            cand --quiet 'Print nothing on success'
            cand -v 'Show on stderr what is sent and where, never the key'
            cand --verbose 'Show on stderr what is sent and where, never the key'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
    ]
    $completions[$command]
}

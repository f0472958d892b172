
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
            cand --min 'Exit 1 when fewer than CREDITS remain'
            cand --api-key 'The key itself; other users of the machine can see it [env: CLADO_API_KEY]'
            cand --api-key-file 'Read the key from PATH, or from standard input where PATH is -'
            cand --api-url 'Base URL [env: CLADO_API_URL] [default: https://search.clado.ai]'
            cand --timeout 'Give up after this long, the whole run counted; decimals allowed'
            cand --color 'Colour the table: auto, always, never'
            cand --completions 'Print the completion script: bash, zsh, fish, powershell, elvish'
            cand --json 'Print the API''s JSON, unchanged'
            cand --plain 'Print only the number of credits'
            cand -q 'Print nothing on success'
            cand --quiet 'Print nothing on success'
            cand -v 'Say on standard error what is sent where, and where the key came from'
            cand --verbose 'Say on standard error what is sent where, and where the key came from'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
    ]
    $completions[$command]
}

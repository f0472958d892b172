complete -c clado-credits -l min -d 'Exit 1 when fewer than CREDITS remain' -r -f
complete -c clado-credits -l api-key -d 'The key itself; other users of the machine can see it [env: CLADO_API_KEY]' -r -f
complete -c clado-credits -l api-key-file -d 'Read the key from PATH, or from standard input where PATH is -' -r -F
complete -c clado-credits -l api-url -d 'Base URL [env: CLADO_API_URL] [default: https://search.clado.ai]' -r -f
complete -c clado-credits -l timeout -d 'Give up after this long, the whole run counted; decimals allowed' -r -f
complete -c clado-credits -l color -d 'Colour the table: auto, always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c clado-credits -l completions -d 'Print the completion script: bash, zsh, fish, powershell, elvish' -r -f -a "bash\t''
zsh\t''
fish\t''
powershell\t''
elvish\t''"
complete -c clado-credits -l json -d 'Print the API\'s JSON, unchanged'
complete -c clado-credits -l plain -d 'Print only the number of credits'
complete -c clado-credits -s q -l quiet -d 'Print nothing on success'
complete -c clado-credits -s v -l verbose -d 'Say on standard error what is sent where, and where the key came from'
complete -c clado-credits -s h -l help -d 'Print help (see more with \'--help\')'
complete -c clado-credits -s V -l version -d 'Print version'

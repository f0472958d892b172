complete -c clado-credits -f
complete -c clado-credits -l min -d 'Exit with code 1 if fewer than CREDITS are left' -r -f
complete -c clado-credits -l api-key -d 'The API key; it shows in the process list' -r -f
complete -c clado-credits -l api-key-file -d 'Read the API key from a file, or from stdin if -' -r -F
complete -c clado-credits -l api-url -d 'Base URL of the API [default: https://search.clado.ai]' -r -f
complete -c clado-credits -l timeout -d 'Time limit for the whole run' -r -f
complete -c clado-credits -l color -d 'Use colour: auto, always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c clado-credits -l completions -d 'Print completions: bash, zsh, fish, powershell, elvish' -r -f -a "bash\t''
zsh\t''
fish\t''
powershell\t''
elvish\t''"
complete -c clado-credits -l json -d 'Print the API\'s JSON reply, unchanged'
complete -c clado-credits -l plain -d 'Print only the number of credits'
complete -c clado-credits -s q -l quiet -d 'Print nothing on success'
complete -c clado-credits -s v -l verbose -d 'Show on stderr what is sent and where, never the key'
complete -c clado-credits -s h -l help -d 'Print help (see more with \'--help\')'
complete -c clado-credits -s V -l version -d 'Print version'

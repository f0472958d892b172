#!/bin/sh
# What `curl | jq` and clado-credits make of each reply. Run it in the sandbox:
#   cargo run --example sandbox -- sh examples/why-not-curl.sh
compare() {
    n=$(curl -s "$CLADO_API_URL/api/credits" -H "Authorization: Bearer $CLADO_API_KEY" | jq .credits)
    code=$?
    m=$(clado-credits --plain 2>/dev/null)
    printf "%-14s %-15s %s\n" "$1" "\"$n\", exit $code" "\"$m\", exit $?"
}

export CLADO_API_KEY
echo '               curl | jq       clado-credits'
CLADO_API_KEY=lk_sandbox compare "247 credits"
CLADO_API_KEY=lk_sandbox_401 compare "wrong key"
CLADO_API_KEY=lk_sandbox_404 compare "not found"
CLADO_API_KEY=lk_sandbox_429 compare "rate limited"
CLADO_API_KEY=lk_sandbox_500 compare "server error"
CLADO_API_URL=http://127.0.0.1:9 compare "service down"

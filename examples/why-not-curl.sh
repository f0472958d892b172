#!/bin/bash
# What `curl | jq` and clado-credits make of each reply. Run it in the sandbox:
#   cargo run -p sandbox -- bash examples/why-not-curl.sh

export CLADO_API_KEY
header="Authorization: Bearer"
# What each prints and its exit code; "strict" is curl with the best flags for scripts.
weak() { curl -s "$CLADO_API_URL/api/credits" -H "$header $CLADO_API_KEY" | jq .credits; }
strict() {
    set -o pipefail
    curl -sSf "$CLADO_API_URL/api/credits" -H "$header $CLADO_API_KEY" | jq -e .credits
}
report() {
    printed=$("$@" 2>/dev/null)
    echo "\"$printed\", exit $?"
}
compare() {
    printf '%-14s  %-15s  %-15s  %s\n' "$1" "$(report weak)" "$(report strict)" "$(report clado-credits --plain)"
}

echo '                curl | jq        with -f, jq -e   clado-credits'
CLADO_API_KEY=lk_sandbox compare '247 credits'
CLADO_API_KEY=lk_sandbox_401 compare 'wrong key'
CLADO_API_KEY=lk_sandbox_404 compare 'not found'
CLADO_API_KEY=lk_sandbox_429 compare 'rate limited'
CLADO_API_KEY=lk_sandbox_500 compare 'server error'
CLADO_API_URL=http://127.0.0.1:9 compare 'service down'

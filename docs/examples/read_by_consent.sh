#!/usr/bin/env bash
# Ask a citizen, as a bank does, with curl; `broker sign` makes assertions and proofs. Needs bash, curl, jq, openssl.
#   read_by_consent.sh ISSUER KEY.jwk REDIRECT_URI
# KEY.jwk: private key with alg, kid and client_id. REDIRECT_URI: one that is registered; need not be reachable.
set -euo pipefail
issuer=$1 key=$2 redirect_uri=$3
broker=${BROKER:-broker}
client_id=$(jq -r .client_id "$key")
details='[{"type":"insurance_record","purpose":"prove_income","fields":["salary_base","si_status"]}]'
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# Discovery (RFC 8414): all addresses come from here, and the issuer must be the one that was asked.
metadata=$(curl -sSf "$issuer/.well-known/oauth-authorization-server")
endpoint() { jq -er ".$1" <<< "$metadata"; }
[ "$(endpoint issuer)" = "$issuer" ] || { echo "these are the metadata of another server" >&2; exit 1; }

# One authenticated request (RFC 7523) with a proof (RFC 9449): post ENDPOINT name=value...
post() {
  local url form=()
  url=$(endpoint "$1")
  for one in "${@:2}"; do form+=(--data-urlencode "$one"); done
  curl -sS --fail-with-body "$url" "${form[@]}" \
    -H "DPoP: $($broker sign proof POST "$url" --key "$key")" \
    -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
    -d client_assertion="$($broker sign assertion --key "$key" --issuer "$issuer")"
}

# Push the request (RFC 9126) with PKCE (RFC 7636) and authorization_details (RFC 9396).
verifier=$(openssl rand 32 | base64url)
state=$(openssl rand 16 | base64url)
pushed=$(post pushed_authorization_request_endpoint response_type=code "redirect_uri=$redirect_uri" "state=$state" \
  "code_challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | base64url)" code_challenge_method=S256 \
  "authorization_details=$details")
request_uri=$(jq -r '.request_uri|@uri' <<< "$pushed")

# The citizen decides in a browser. It comes back to REDIRECT_URI: copy the address that it shows then.
echo "Open in a browser: $(endpoint authorization_endpoint)?client_id=$client_id&request_uri=$request_uri" >&2
echo "Where did it come back to?" >&2
read -r came
parameter() { tr '?&' '\n\n' <<< "$came" | sed -n "s/^$1=//p" | { read -r one || exit 0; printf '%b' "${one//%/\\x}"; }; }
[ "$(parameter iss)" = "$issuer" ] || { echo "this answer is of another server (RFC 9207)" >&2; exit 1; }
[ "$(parameter state)" = "$state" ] || { echo "this answer is to another request" >&2; exit 1; }
[ -n "$(parameter code)" ] || { echo "no code: $(parameter error)" >&2; exit 1; }

# The code becomes a token: within 50 seconds, with the same key.
tokens=$(post token_endpoint grant_type=authorization_code "code=$(parameter code)" "code_verifier=$verifier" \
  "redirect_uri=$redirect_uri")
access_token=$(jq -r .access_token <<< "$tokens") refresh_token=$(jq -r .refresh_token <<< "$tokens")

# Use it. In a program: the Authorization header as it stands here, and a proof that carries the token's hash.
$broker call GET "$issuer/v1/token-info" --key "$key" --token-file - <<< "$access_token" > /dev/null
for path in /v1/token-info /v1/consented-record; do
  curl -sS --fail-with-body "$issuer$path" -H "Authorization: DPoP $access_token" \
    -H "DPoP: $($broker sign proof GET "$issuer$path" --key "$key" --token "$access_token")"
  echo
done

# A new one when it has expired; what it is worth; and the end of it all.
access_token=$(post token_endpoint grant_type=refresh_token "refresh_token=$refresh_token" | jq -r .access_token)
post introspection_endpoint "token=$access_token"
echo
post revocation_endpoint "token=$refresh_token"

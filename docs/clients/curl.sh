#!/usr/bin/env bash
# A partner's client with curl alone. The environment says ISSUER, CLIENT_ID, CLIENT_SECRET, API_URL, and REFUSED_URL,
# which this client may not call. Secrets and tokens go to curl through its input: its arguments are seen by others.
set -euo pipefail
server="$(curl -sS --fail-with-body "$ISSUER/.well-known/oauth-authorization-server")"
member() { sed -E "s/.*\"$1\" *: *\"([^\"]*)\".*/\1/"; } # of a JSON object, which is one line
token_endpoint="$(member token_endpoint <<< "$server")"
revocation_endpoint="$(member revocation_endpoint <<< "$server")"

client_secret_basic() { printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET"; } # lines for curl's --config
client_secret_post() { printf 'data-urlencode = "%s"\n' "client_id=$CLIENT_ID" "client_secret=$CLIENT_SECRET"; }
post() { curl -sS --fail-with-body --config - "$@"; }
get_token() { "$way" | post --data grant_type=client_credentials "$token_endpoint" | member access_token; }
revoke() { { "$way"; printf 'data = "token=%s"\n' "$token"; } | post --output /dev/null "$revocation_endpoint"; }
call() { curl -sS --output /dev/null --write-out '%{http_code}' --header @- "$1" <<< "Authorization: Bearer $token"; }

for way in client_secret_basic client_secret_post; do
  token="$(get_token)"
  said="$(call "$API_URL"), $(call "$REFUSED_URL")" # 403: the token is good, but not for this
  revoke
  status="$(call "$API_URL")"
  if [ "$status" = 401 ]; then token="$(get_token)"; fi # the token is good no longer: get another and try once more
  said="$said, revoked: $status, again: $(call "$API_URL")"
  revoke
  printf '%s: %s\n' "$way" "$said"
  [ "$said" = "200, 403, revoked: 401, again: 200" ]
done

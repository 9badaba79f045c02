#!/bin/sh
# Prints the Secrets with the certificates of an example, for kubectl apply:
#
#   ./secrets.sh TRUST-DOMAIN NAMESPACE/SERVICE-ACCOUNT[=DNS-NAME]... | kubectl apply -f -
#
# Certificates are for trying things out: the key of their CA stays in the folder named
# by PKI (default: pki), and nobody renews them. SIDECAR names another `sidecar`.
set -eu
pki=${PKI:-pki}
sidecar=${SIDECAR:-sidecar}
domain=${1:?the trust domain is missing}
shift

[ -e "$pki/ca.key" ] || $sidecar certs init --trust-domain "$domain" --dir "$pki" >&2
for each; do
    dns=${each#*=}
    [ "$dns" != "$each" ] || dns=
    each=${each%%=*}
    namespace=${each%/*} account=${each#*/}
    name=$namespace-$account
    $sidecar certs issue "spiffe://$domain/ns/$namespace/sa/$account" --dir "$pki" \
        --out "$name" --lifetime 7d --force ${dns:+--dns "$dns"} >&2
    echo ---
    kubectl create secret generic "$account-svid" --namespace "$namespace" \
        --dry-run=client --output yaml --from-file "tls.crt=$pki/$name.crt" \
        --from-file "tls.key=$pki/$name.key" --from-file "ca.crt=$pki/ca.crt"
done

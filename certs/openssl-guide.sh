#!/bin/sh
# Certificates made with nothing but openssl, as older meshes have them: an RSA CA, a
# server, and two clients that are known by their subject. None has a SPIFFE ID.
#
#   certs/openssl-guide.sh DIR
#
# It makes DIR, and refuses one that exists: nothing is ever overwritten.
# certs/README.md says what to do with them.
set -eu
umask 077

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
if [ -e "$1" ] || [ -L "$1" ]; then
    echo "$1: must not exist yet; remove it or choose another" >&2
    exit 2
fi
mkdir "$1" # which fails, too, if somebody else made it a moment ago
cd "$1"

# The CA: a key, and a certificate that signs itself.
openssl genrsa -out ca.key 2048
openssl req -x509 -new -key ca.key -sha256 -days 30 \
    -subj "/C=/ST=/L=/O=/OU=ca/" -out ca.crt

# issue NAME SUBJECT: a key, a request, and the certificate that the CA makes of it.
issue() {
    openssl genrsa -out "$1.key" 2048
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial \
        -sha256 -days 7 -out "$1.crt"
    rm "$1.csr"
}

# A client such as curl looks for the server's host name. There is no SAN to hold it,
# so it is the common name.
issue server "/C=/ST=/L=/O=/OU=api/CN=localhost/"
issue client "/C=/ST=/L=/O=/OU=web/"
issue batch "/C=/ST=/L=/O=/OU=batch/"

openssl verify -CAfile ca.crt server.crt client.crt batch.crt

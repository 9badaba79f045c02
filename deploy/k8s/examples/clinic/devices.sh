#!/bin/sh
# Plays the hospital: makes a CA for its devices, and four of them, in the folder `devices`.
# They have no SPIFFE IDs, as devices that were there before the mesh never have.
set -eu
mkdir -p devices
cd devices

request() { # NAME SUBJECT OPTION...
    name=$1 subject=$2
    shift 2
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 \
        -keyout "$name.key" -out "$name.crt" -subj "$subject" "$@" 2>openssl.log ||
        { cat openssl.log >&2; exit 1; }
}
device() { # NAME SUBJECT OPTION...
    request "$@" -CA ca.crt -CAkey ca.key \
        -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=clientAuth \
        -addext keyUsage=critical,digitalSignature
}

request ca "/O=Hospital/CN=Devices" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
device pump-17 "/O=Hospital/CN=pump-17" \
    -addext subjectAltName=DNS:pump-17.devices.hospital.example
device pump-13 "/O=Hospital/CN=pump-13" \
    -addext subjectAltName=DNS:pump-13.devices.hospital.example
device desk "/O=Hospital/OU=Wards/CN=desk"
device kitchen "/O=Hospital/OU=Kitchen/CN=kitchen"

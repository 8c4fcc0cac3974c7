#!/bin/sh
# Makes the certificates and keys that the store's tests lay out as trees. Run once; the files are kept.
# root signs ca; ca signs leaf1 and leaf2 (two versions of one lineage, keys of their own) and rsa; other is another
# CA's. `sec1` is leaf1's key without its public part, as some tools write it.
set -eu
cd "$(dirname "$0")"
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
sign() { # NAME ISSUER EXTENSIONS DAYS
    openssl req -new -key "$1.key" -subj "/CN=$1.example" -out "$1.csr"
    printf '%b' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$4" -sha256 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
}
for name in root other; do
    key $name
    openssl req -x509 -new -key $name.key -subj "/CN=$name" -days 36500 -out $name.pem
done
ca='basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n'
leaf='subjectAltName=DNS:a.example,DNS:www.a.example\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n'
key ca && sign ca root "$ca" 36500
for name in leaf1 leaf2; do key $name && sign $name ca "$leaf" 36000; done
openssl genrsa -out rsa.key 2048 2>/dev/null && sign rsa ca "$leaf" 36000
rm -f ./*.csr ./*.ext ./*.srl root.key ca.key other.key

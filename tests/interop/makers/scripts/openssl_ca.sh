cat > openssl.cnf <<'CONFIG'
[ca]
default_ca = CA_default
[CA_default]
dir = .
database = ./index.txt
new_certs_dir = .
certificate = ./root.pem
private_key = ./root.key
default_md = sha256
default_days = 30
default_crl_days = 30
rand_serial = yes
policy = any
[any]
commonName = supplied
[req]
distinguished_name = dn
[dn]
[client]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
CONFIG
: > index.txt
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Root -days 30 \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
    -config openssl.cnf -keyout root.key -out root.pem
for name in good revoked; do
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -config openssl.cnf -keyout "$name.key" -out "$name.csr"
    openssl ca -config openssl.cnf -batch -notext -extensions client -in "$name.csr" -out "$name.pem"
done
openssl ca -config openssl.cnf -revoke revoked.pem
openssl ca -config openssl.cnf -gencrl -out list.crl

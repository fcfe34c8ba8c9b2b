export EASYRSA_BATCH=1 EASYRSA_ALGO=ec EASYRSA_CURVE=prime256v1 EASYRSA_PKI="$PWD/pki"
easyrsa=/usr/share/easy-rsa/easyrsa
"$easyrsa" init-pki
EASYRSA_REQ_CN=Root "$easyrsa" build-ca nopass
"$easyrsa" build-client-full good nopass
"$easyrsa" build-client-full revoked nopass
for name in good revoked; do
    openssl x509 -in "pki/issued/$name.crt" -out "$name.pem"
done
"$easyrsa" revoke revoked
"$easyrsa" gen-crl
cp pki/ca.crt root.pem
cp pki/crl.pem list.crl

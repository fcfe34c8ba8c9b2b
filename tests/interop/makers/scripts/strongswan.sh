pki --gen --type ecdsa --size 256 > root.key
pki --self --ca --type ecdsa --in root.key --dn CN=Root --lifetime 30 --outform pem > root.pem
for name in good revoked; do
    pki --gen --type ecdsa --size 256 > "$name.key"
    pki --issue --type priv --in "$name.key" --cacert root.pem --cakey root.key --dn "CN=$name" \
        --flag clientAuth --lifetime 10 --outform pem > "$name.pem"
done
pki --signcrl --cacert root.pem --cakey root.key --reason key-compromise --cert revoked.pem \
    --lifetime 10 > list.crl

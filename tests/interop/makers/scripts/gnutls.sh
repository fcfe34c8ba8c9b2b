printf 'cn = Root\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 30\n' > root.template
certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile root.key
certtool --generate-self-signed --load-privkey root.key --template root.template --outfile root.pem
for name in good revoked; do
    printf 'cn = %s\nsigning_key\ntls_www_client\nexpiration_days = 10\n' "$name" > "$name.template"
    certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$name.key"
    certtool --generate-certificate --load-privkey "$name.key" --load-ca-certificate root.pem \
        --load-ca-privkey root.key --template "$name.template" --outfile "$name.pem"
done
printf 'crl_next_update = 10\ncrl_number = 5\n' > crl.template
certtool --generate-crl --load-ca-privkey root.key --load-ca-certificate root.pem \
    --load-certificate revoked.pem --template crl.template --outfile list.crl

store() {
    keytool "$@" -keystore store.p12 -storetype PKCS12 -storepass changeit
}
store -genkeypair -alias root -keyalg EC -groupname secp256r1 -dname CN=Root \
    -ext bc:critical=ca:true -ext ku:critical=keyCertSign,cRLSign -validity 30
store -exportcert -alias root -rfc > root.pem
for name in good revoked; do
    store -genkeypair -alias "$name" -keyalg EC -groupname secp256r1 -dname "CN=$name" -validity 30
    store -certreq -alias "$name" > "$name.csr"
    store -gencert -alias root -infile "$name.csr" -rfc -ext ku=digitalSignature -ext eku=clientAuth \
        -validity 30 > "$name.pem"
done
serial=$(openssl x509 -in revoked.pem -noout -serial | cut -d= -f2)
decimal=$(python3 -c "print(int('$serial', 16))")
store -gencrl -alias root -id "$decimal" -rfc -file list.crl

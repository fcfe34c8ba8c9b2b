mkdir db
certutil -N -d sql:db --empty-password
head -c 64 /dev/urandom > noise
printf 'y\n\nn\n' | certutil -S -d sql:db -n root -s CN=Root -x -t CT,, -m 1 -v 2 -z noise \
    -k ec -q nistp256 -2 --keyUsage certSigning,crlSigning,critical
number=1
for name in good revoked; do
    number=$((number + 1))
    certutil -S -d sql:db -n "$name" -s "CN=$name" -c root -t ,, -m "$number" -v 1 -z noise \
        -k ec -q nistp256 --keyUsage digitalSignature --extKeyUsage clientAuth
    certutil -L -d sql:db -n "$name" -a > "$name.pem"
done
certutil -L -d sql:db -n root -a > root.pem
now=$(date -u +%Y%m%d%H%M%SZ)
next=$(date -u -d '+5 days' +%Y%m%d%H%M%SZ)
printf 'update=%s\nnextupdate=%s\naddcert 3 %s\n' "$now" "$next" "$now" > rules
crlutil -G -d sql:db -n root -c rules -o list.crl -Z SHA256

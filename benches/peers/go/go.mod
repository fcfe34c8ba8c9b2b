// Go since 1.24 offers X25519MLKEM768; an older version in this line would turn it off.
module countersign.example/peers

go 1.24

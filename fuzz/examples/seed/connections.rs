//! Seeds of the targets that make connections and paths: recipes, which each target describes.

use std::io;

use crate::write;

pub fn all() -> io::Result<()> {
    wire()?;
    tickets()?;
    paths()?;
    flights()?;
    sessions()
}

fn wire() -> io::Result<()> {
    let record = |content: &[u8]| {
        let length = (content.len() as u16).to_be_bytes();
        [&[22, 3, 3][..], &length, content].concat()
    };
    let hello = |random: u8, extensions: &[u8]| {
        let mut body = vec![3, 3];
        body.extend([random; 32]);
        body.extend([4, 1, 2, 3, 4, 0x13, 2, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        record(&[&[2, 0, 0, body.len() as u8][..], &body].concat())
    };
    let mut share = vec![0, 43, 0, 2, 3, 4, 0, 51, 0, 36, 0, 29, 0, 32];
    share.extend([9; 32]);
    let put = |name: &str, bytes: &[u8]| write("wire", name, [&[3], bytes].concat());
    put("tls13", &hello(7, &share))?;
    put("tls12", &hello(7, &[0, 23, 0, 0, 0xff, 1, 0, 1, 0]))?;
    put(
        "change-cipher-spec",
        &[&[20, 3, 3, 0, 1, 1][..], &hello(7, &share)].concat(),
    )?;
    put("alert", &[21, 3, 3, 0, 2, 2, 40])?;
    let transcript = [
        &[1, 0, 0, 2, 13, 13][..],
        &[2, 0, 0, 1, 0],
        &[13, 0, 0, 0],
        &[14, 0, 0, 0],
    ];
    put("transcript", &transcript.concat())?;
    let session = [
        1, 2, b'a', b'b', 3, 4, 0x13, 1, 3, 9, 9, 9, 1, 1, 0, 0, 5, 0, 0, 2, 0x30, 0,
    ];
    let tail = [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0];
    put("session", &[&session[..], &tail].concat())
}

fn tickets() -> io::Result<()> {
    for (name, input) in [
        ("bit", &[0, 0, 40, 1][..]),
        ("cut", &[1, 0, 60]),
        ("longer", &[2, 0, 16, 1, 2, 3]),
        ("replaced", &[3, 0, 0, 0, 3, 3]),
        ("without-head", &[4, 0, 8]),
        (
            "made-up",
            &[
                0, 0, 0, 1, 2, b'a', b'b', 3, 4, 0x13, 1, 1, 9, 1, 1, 0, 0, 5, 0, 0, 2, 0x30, 0,
            ],
        ),
    ] {
        write("ticket", name, input)?;
    }
    Ok(())
}

/// The places of the certificates in `shared/pki.rs`: a leaf of each CA, odd leaves, then the CAs.
fn paths() -> io::Result<()> {
    const CAS: u8 = 42;
    let ca = |number: u8| CAS + number;
    for (name, input) in [
        ("of-a-root", vec![0, 1, 0, 0, 0, 0]),
        ("issuing", vec![0, 1, 0, 0, 0, 3, ca(3)]),
        ("deep", vec![0, 1, 0, 0, 0, 5, ca(5), ca(4), ca(3)]),
        ("wrong-order", vec![2, 1, 0, 0, 0, 5, ca(3), ca(5), ca(4)]),
        ("crossed", vec![0, 2, 0, 0, 0, 3, ca(3), ca(6)]),
        ("loop", vec![0, 1, 0, 0, 0, 9, ca(9), ca(8), ca(10)]),
        ("namesakes", vec![0, 7, 0, 0, 0, 3, ca(7), ca(3), ca(2)]),
        ("twice", vec![0, 1, 0, 0, 0, 3, ca(3), ca(3), ca(3)]),
        ("by-domain", vec![1, 3, 0, 0, 0, 0, ca(3)]),
        ("strict", vec![2, 1, 0, 0, 0, 3, ca(3)]),
        ("revoked", vec![0, 1, 0x2a, 0, 0, 3, ca(3)]),
        ("revocation", vec![8, 1, 0x11, 0, 0, 3, ca(3)]),
        ("expired", vec![0, 1, 0, 0, 0, 11, ca(11)]),
        ("back-in-time", vec![0, 1, 0, 0, 0x8f, 11, ca(11)]),
        ("path-length", vec![0, 1, 0, 0, 0, 13, ca(13), ca(12)]),
        ("constrained", vec![4, 1, 0, 0, 0, 16, ca(16)]),
        ("constrained-uris", vec![0, 1, 0, 0, 0, 20, ca(20)]),
        // Beside a root of the same name, whose key is another one.
        ("constrained-namesakes", vec![0, 7, 0, 0, 0, 20, ca(20)]),
        ("last-second", vec![0, 1, 0, 0, 0xc1, 3, ca(3)]),
        ("no-ca", vec![0, 1, 0, 0, 0, 15, ca(15)]),
        ("more", vec![0x40, 1, 0, 0, 0, 3]),
        ("nothing", vec![0, 1, 0, 0, 0]),
        (
            "long",
            vec![
                0,
                1,
                0,
                0,
                0,
                3,
                ca(3),
                ca(4),
                ca(5),
                ca(6),
                ca(7),
                ca(8),
                ca(9),
                ca(10),
                ca(11),
            ],
        ),
    ] {
        write("path", name, &input)?;
        write("diagnose", name, &input)?;
        let edits = [&input[..], &[0, 0, 1, 0, 90, 0x20]].concat();
        write("diagnose", &format!("{name}-edited"), edits)?;
    }
    Ok(())
}

fn flights() -> io::Result<()> {
    for (name, input) in [
        ("untouched", &[0, 8][..]),
        ("byte-by-byte", &[0, 0]),
        ("tls12", &[4, 30]),
        ("resumed", &[1, 30]),
        ("resumed-tls12", &[5, 30]),
        ("stateless", &[3, 30]),
        ("client-hello", &[0, 30, 5, 0, 60, 1]),
        ("server-hello", &[0, 30, 0x85, 0, 43, 1]),
        ("ticket", &[3, 30, 5, 1, 0x80, 1]),
        ("cut", &[0, 30, 3, 0, 200, 0]),
        ("cut-by-the-server", &[0, 30, 0x83, 1, 0, 0]),
        ("record-type", &[0, 30, 4, 0, 0, 23]),
        ("flood", &[0, 30, 2, 0, 5, 0]),
    ] {
        write("flights", name, input)?;
    }
    Ok(())
}

fn sessions() -> io::Result<()> {
    for (name, input) in [
        ("open-and-close", &[0, 0, 0, 1, 1, 9, 0, 7, 0][..]),
        ("resumed", &[0, 0, 0, 7, 0, 0, 0, 1, 1, 1, 1]),
        ("stateless", &[2, 1, 0, 7, 0, 1, 0, 5, 1, 1, 0]),
        ("tls12", &[1, 1, 0, 7, 0, 1, 0, 6, 0]),
        ("policy", &[0, 0, 0, 0, 1, 2, 1, 0, 0, 2, 0, 0, 0]),
        ("trust", &[0, 0, 0, 0, 2, 3, 1, 0, 2, 3, 3, 0, 2]),
        ("revoked", &[0, 0, 0, 3, 7, 0, 0, 3, 0xb, 0, 1]),
        ("denied", &[0, 0, 1, 4, 1, 0, 1, 4, 0x81, 0, 1]),
        ("clock", &[0, 0, 1, 0, 2, 5, 4, 0, 1, 5, 0x84, 0, 1]),
        ("key-update", &[0, 1, 0, 6, 0, 6, 0, 2, 1]),
        ("closed-by-us", &[0, 0, 0, 1, 0, 8, 0, 0, 0]),
    ] {
        write("session", name, input)?;
    }
    Ok(())
}

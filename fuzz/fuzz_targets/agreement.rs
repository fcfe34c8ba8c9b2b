//! Certificates as x509-cert, rustls-webpki and OpenSSL read them: what two of us read, we read alike.
//!
//! Differences that are known, where we read nothing or the other does: names in other strings than ASCII,
//! times with a fraction, with an offset or before 1970, numbers and names that are not DER.
#![no_main]

use countersign::Certificate;
use countersign::pki::GeneralName;
use libfuzzer_sys::fuzz_target;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName as Theirs;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

fuzz_target!(|der: &[u8]| {
    let Ok(ours) = Certificate::from_der(der) else {
        return;
    };
    if let Ok(theirs) = x509_cert::Certificate::from_der(der) {
        same_as_x509_cert(&ours, &theirs);
    }
    let owned = der.into();
    if let Ok(theirs) = webpki::EndEntityCert::try_from(&owned) {
        same_as_webpki(&ours, &theirs);
    }
    #[cfg(feature = "openssl")]
    if let Ok(theirs) = openssl::x509::X509::from_der(der) {
        same_as_openssl(&ours, &theirs);
    }
});

fn same_as_x509_cert(ours: &Certificate, theirs: &x509_cert::Certificate) {
    let tbs = &theirs.tbs_certificate;
    // x509-cert leaves out the zero octet of a positive number, and so do we here.
    let number = |octets: &[u8]| {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        octets[zeros..].to_vec()
    };
    assert_eq!(
        number(ours.serial().as_bytes()),
        number(tbs.serial_number.as_bytes())
    );
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    assert_eq!(
        ours.not_before().as_secs(),
        seconds(&tbs.validity.not_before)
    );
    assert_eq!(ours.not_after().as_secs(), seconds(&tbs.validity.not_after));
    for (our, their) in [(ours.subject(), &tbs.subject), (ours.issuer(), &tbs.issuer)] {
        if let Ok(der) = their.to_der() {
            // It sorts the attributes of an RDN, which DER demands and some issuers do not do.
            assert_eq!(our.der().len(), der.len());
        }
        assert_eq!(our.is_empty(), their.0.is_empty());
    }
    if let Ok(spki) = tbs.subject_public_key_info.to_der() {
        assert_eq!(ours.spki().len(), spki.len());
    }
    if let Ok(Some((_, usage))) = tbs.get::<KeyUsage>() {
        let our = ours.key_usage().expect("it has a keyUsage");
        assert_eq!(our.digital_signature(), usage.digital_signature());
        assert_eq!(our.key_cert_sign(), usage.key_cert_sign());
        assert_eq!(our.crl_sign(), usage.crl_sign());
    }
    if let Ok(Some((_, constraints))) = tbs.get::<BasicConstraints>() {
        assert_eq!(ours.is_ca(), constraints.ca);
    }
    if let Ok(Some((_, purposes))) = tbs.get::<ExtendedKeyUsage>() {
        let our = ours
            .extended_key_usage()
            .expect("it has an extendedKeyUsage");
        let their = purposes.0.iter().map(ToString::to_string);
        // It keeps 32 bits of a number in an object identifier.
        let is_small = |oid: &str| oid.split('.').all(|arc| arc.parse::<u32>().is_ok());
        let same = our.iter().map(ToString::to_string).eq(their);
        assert!(same || !our.iter().all(|oid| is_small(oid)), "{our:?}");
    }
    let (Ok(Some((_, names))), Ok(our)) = (
        tbs.get::<SubjectAltName>(),
        ours.subject_alternative_names(),
    ) else {
        return;
    };
    assert_eq!(our.len(), names.0.len(), "{our:?}");
    for (our, their) in our.iter().zip(&names.0) {
        let same = match (our, their) {
            (GeneralName::Dns(our), Theirs::DnsName(their)) => **our == *their.as_bytes(),
            (GeneralName::Uri(our), Theirs::UniformResourceIdentifier(their)) => {
                **our == *their.as_bytes()
            }
            (GeneralName::Email(our), Theirs::Rfc822Name(their)) => **our == *their.as_bytes(),
            (GeneralName::Ip(our), Theirs::IpAddress(their)) => **our == *their.as_bytes(),
            (GeneralName::OtherName { oid, .. }, Theirs::OtherName(their)) => {
                let is_small = oid.split('.').all(|arc| arc.parse::<u32>().is_ok());
                *oid == their.type_id.to_string() || !is_small
            }
            // It reads numbers of an object identifier that begin with a zero octet, which DER forbids.
            (GeneralName::Unreadable { .. }, Theirs::OtherName(_)) => true,
            (GeneralName::Dns(_) | GeneralName::Uri(_) | GeneralName::Email(_), _)
            | (GeneralName::Ip(_) | GeneralName::OtherName { .. }, _)
            | (_, Theirs::DnsName(_) | Theirs::UniformResourceIdentifier(_))
            | (_, Theirs::Rfc822Name(_) | Theirs::IpAddress(_) | Theirs::OtherName(_)) => false,
            _ => true,
        };
        assert!(same, "{our:?} {their:?}");
    }
}

fn same_as_webpki(ours: &Certificate, theirs: &webpki::EndEntityCert<'_>) {
    let Ok(names) = ours.subject_alternative_names() else {
        return;
    };
    let our = names.iter().filter_map(|name| match name {
        GeneralName::Dns(name) => std::str::from_utf8(name).ok(),
        _ => None,
    });
    let our: Vec<&str> = our.collect();
    // It leaves out what is no name of a host.
    for their in theirs.valid_dns_names() {
        assert!(our.contains(&their), "{their}: {names:?}");
    }
}

#[cfg(feature = "openssl")]
fn same_as_openssl(ours: &Certificate, theirs: &openssl::x509::X509) {
    use openssl::asn1::Asn1Time;

    if let Ok(number) = theirs.serial_number().to_bn() {
        let our = ours.serial().as_bytes();
        let is_negative = our.first().is_some_and(|first| first & 0x80 != 0);
        assert_eq!(number.is_negative(), is_negative);
        if !is_negative {
            let zeros = our.iter().take_while(|octet| **octet == 0).count();
            assert_eq!(our[zeros..], number.to_vec());
        }
    }
    for (our, their) in [
        (ours.not_before(), theirs.not_before()),
        (ours.not_after(), theirs.not_after()),
    ] {
        let our = i64::try_from(our.as_secs()).expect("before the year 10,000");
        // Times before 1970 count as its beginning.
        if our > 0
            && let Ok(our) = Asn1Time::from_unix(our)
            && let Ok(difference) = our.diff(their)
        {
            assert_eq!((difference.days, difference.secs), (0, 0));
        }
    }
    for (our, their) in [
        (ours.subject(), theirs.subject_name()),
        (ours.issuer(), theirs.issuer_name()),
    ] {
        assert_eq!(our.is_empty(), their.entries().count() == 0);
        assert_eq!(our.attributes().len(), their.entries().count());
    }
    let (Some(their), Ok(our)) = (theirs.subject_alt_names(), ours.subject_alternative_names())
    else {
        return;
    };
    // OpenSSL reads what BER allows: a name in parts, each a string of its own.
    let is_ber = |kind: u8| {
        our.iter()
            .any(|name| matches!(name, GeneralName::Unreadable { tag, .. } if tag & 0x1f == kind))
    };
    let names = |kind: fn(&GeneralName) -> Option<&[u8]>| -> Vec<&[u8]> {
        our.iter().filter_map(kind).collect()
    };
    // The crate gives no name that is not UTF-8.
    let is_text = |names: &[&[u8]]| names.iter().all(|name| std::str::from_utf8(name).is_ok());
    let our_dns = names(|name| match name {
        GeneralName::Dns(name) => Some(name),
        _ => None,
    });
    if is_text(&our_dns) && !is_ber(2) {
        let their_dns = their.iter().filter_map(|name| name.dnsname());
        assert!(
            our_dns.into_iter().eq(their_dns.map(str::as_bytes)),
            "{our:?}"
        );
    }
    let our_uris = names(|name| match name {
        GeneralName::Uri(uri) => Some(uri),
        _ => None,
    });
    if is_text(&our_uris) && !is_ber(6) {
        let their_uris = their.iter().filter_map(|name| name.uri());
        assert!(
            our_uris.into_iter().eq(their_uris.map(str::as_bytes)),
            "{our:?}"
        );
    }
    // OpenSSL gives an address of any length.
    let is_address = |octets: &&[u8]| matches!(octets.len(), 4 | 16);
    let our_ips = names(|name| match name {
        GeneralName::Ip(octets) => Some(octets),
        _ => None,
    });
    if !is_ber(7) {
        let their_ips = their.iter().filter_map(|name| name.ipaddress());
        let our_ips = our_ips.into_iter().filter(is_address);
        assert!(our_ips.eq(their_ips.filter(is_address)), "{our:?}");
    }
}

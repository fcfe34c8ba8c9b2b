//! CRLs.

use countersign::testing::{CrlBuilder, KeyUsageBits, TestCa, der};

use super::{DAY, HOUR, Made, SERIAL, client, from_now, root};

const IDP: &str = "2.5.29.28";
const NUMBER: &str = "2.5.29.20";
const DELTA: &str = "2.5.29.27";
const POINTS: &str = "2.5.29.31";

pub(super) fn cases() -> Vec<Made> {
    let all = [formats(), scopes(), issuers(), times()];
    all.into_iter().flatten().collect()
}

fn list(name: &str, what: &str, change: impl FnOnce(CrlBuilder) -> CrlBuilder) -> Made {
    let root = root();
    let made = Made::new(name, what, &root, &client(&root).issue());
    made.crl(change(root.crl().revoke(&[5])))
}

fn formats() -> Vec<Made> {
    let long = der::tlv(2, [0x11; 30]);
    let reason = der::extension("2.5.29.21", true, &der::tlv(0x0a, [1]));
    let root = root();
    let delta = root.crl().extension(DELTA, true, &der::integer(1));
    let both = Made::new(
        "base-and-delta",
        "base and delta CRL side by side",
        &root,
        &client(&root).issue(),
    );
    vec![
        list("crl", "a good CRL", |crl| crl),
        list("crl-revokes", "the CRL revokes the leaf", |crl| {
            crl.revoke(&SERIAL)
        }),
        list(
            "crl-without-number",
            "CRL without a number, as easy-rsa and Go make them",
            CrlBuilder::without_number,
        ),
        list(
            "crl-number-30-octets",
            "cRLNumber of 30 octets",
            move |crl| crl.without_number().extension(NUMBER, false, &long),
        ),
        list(
            "crl-v1",
            "version 1 CRL, as keytool and openssl make them",
            |crl| crl.version(1),
        ),
        list(
            "crl-without-next-update",
            "no nextUpdate",
            CrlBuilder::without_next_update,
        ),
        list(
            "crl-reason-critical",
            "reasonCode critical in an entry",
            move |crl| crl.revoke_with(&[6], &[reason]),
        ),
        list(
            "crl-unknown-critical",
            "an unknown critical extension",
            |crl| crl.extension("1.2.3.4", true, &der::null()),
        ),
        both.crl(root.crl()).crl(delta),
    ]
}

fn scopes() -> Vec<Made> {
    let uri = |uri: &str| der::tlv(0xa0, der::tlv(0xa0, der::tlv(0x86, uri)));
    let only_cas = der::sequence(&[der::tlv(0x82, [0xff])]);
    let only_users = der::sequence(&[der::tlv(0x81, [0xff])]);
    let indirect = der::sequence(&[der::tlv(0x84, [0xff])]);
    let root = root();
    let by_name = der::tlv(0xa0, der::tlv(0xa0, der::tlv(0xa4, root.subject_der())));
    let shard =
        |number: u8| der::sequence(&[uri(&format!("http://crl.example/shard/{number}.crl"))]);
    let points = der::sequence(&[shard(66)]);
    let leaf = client(&root).extension(POINTS, false, &points).issue();
    let of_shard = |name: &str, what: &str, shards: &[u8]| {
        let made = Made::new(name, what, &root, &leaf);
        shards.iter().fold(made, |made, &number| {
            made.crl(root.crl().extension(IDP, true, &shard(number)))
        })
    };
    vec![
        list("idp-only-cas", "IDP onlyContainsCACerts", |crl| {
            crl.extension(IDP, true, &only_cas)
        }),
        list("idp-only-users", "IDP onlyContainsUserCerts", |crl| {
            crl.extension(IDP, true, &only_users)
        }),
        list("idp-indirect", "an indirect CRL", |crl| {
            crl.extension(IDP, true, &indirect)
        }),
        Made::new(
            "idp-directory-name",
            "IDP names the issuer by directoryName",
            &root,
            &client(&root).issue(),
        )
        .crl(root.crl().extension(IDP, true, &der::sequence(&[by_name]))),
        of_shard("shards", "the right one of two shards", &[65, 66]),
        of_shard("shard-missing", "only another shard is there", &[65]),
        Made::new(
            "point-without-idp",
            "certificate names a distribution point, the CRL has no IDP",
            &root,
            &leaf,
        )
        .crl(root.crl()),
    ]
}

fn issuers() -> Vec<Made> {
    let root = root();
    let made = |name: &str, what: &str| Made::new(name, what, &root, &client(&root).issue());
    let issuing = root.intermediate("Example Issuing CA");
    let only_certs = TestCa::builder("No CRL CA")
        .key_usage(Some(KeyUsageBits::KEY_CERT_SIGN))
        .root();
    let two_tier = client(&issuing).issue();
    let forged = der::sequence(&[der::integer(7), der::integer(9)]);
    vec![
        made("crl-of-another-ca", "a CRL of another CA").crl(TestCa::new("Other CA").crl()),
        made(
            "crl-by-another-key",
            "a CRL of the CA's name by another key",
        )
        .crl(root.same_name_other_key().crl()),
        made("crl-forged", "a CRL with a wrong signature").crl(root.crl().signature(forged)),
        Made::new(
            "crl-issuer-without-crl-sign",
            "a CA with keyCertSign only signs a CRL",
            &only_certs,
            &client(&only_certs).issue(),
        )
        .crl(only_certs.crl()),
        Made::new(
            "crl-of-root-missing",
            "CRL of the issuing CA only, two-tier chain",
            &root,
            &two_tier,
        )
        .crl(issuing.crl()),
        Made::new(
            "crls-of-both",
            "CRLs of issuing CA and root",
            &root,
            &two_tier,
        )
        .crl(issuing.crl())
        .crl(root.crl()),
    ]
}

fn times() -> Vec<Made> {
    let root = root();
    let future = root
        .crl()
        .number(5)
        .this_update(from_now(365 * DAY))
        .next_update(from_now(700 * DAY));
    let today = root.crl().number(6).revoke(&SERIAL);
    vec![
        list("crl-expired", "nextUpdate passed", |crl| {
            crl.this_update(from_now(-2 * DAY))
                .next_update(from_now(-HOUR))
        }),
        list("crl-of-the-future", "thisUpdate in one hour", |crl| {
            crl.this_update(from_now(HOUR))
        }),
        Made::new(
            "crl-of-the-future-hides-revocation",
            "CRL 5 is dated one year ahead; CRL 6, of today, revokes the leaf",
            &root,
            &client(&root).issue(),
        )
        .crl(future)
        .crl(today),
    ]
}

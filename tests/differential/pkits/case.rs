//! The cases, with the settings of the suite's document.

/// One test of the suite, or one of its settings.
pub(crate) struct Case {
    /// The file of the end entity's certificate, without `EE.crt`.
    pub(crate) end_entity: String,
    /// Which of several settings of one certificate; from 1.
    number: Option<usize>,
    pub(crate) settings: Settings,
    pub(crate) is_valid: bool,
}

/// The inputs (c) to (g) of RFC 5280 section 6.1.1.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// The last arcs of the acceptable policies; empty for any.
    pub(crate) policies: &'static [u8],
    pub(crate) explicit: bool,
    pub(crate) inhibit_mapping: bool,
    pub(crate) inhibit_any: bool,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        match self.number {
            None => self.end_entity.clone(),
            Some(number) => format!("{}, settings {number}", self.end_entity),
        }
    }
}

const DEFAULT: Settings = Settings {
    policies: &[],
    explicit: false,
    inhibit_mapping: false,
    inhibit_any: false,
};

const fn accepts(policies: &'static [u8]) -> Settings {
    Settings {
        policies,
        ..DEFAULT
    }
}

const EXPLICIT: Settings = Settings {
    explicit: true,
    ..DEFAULT
};

const fn explicit(policies: &'static [u8]) -> Settings {
    Settings {
        policies,
        ..EXPLICIT
    }
}

/// The certificates that have other settings than the default, or a verdict that their name does not
/// say (sections 4.8, 4.10 and 4.12).
const SETTINGS: &[(&str, &[(Settings, bool)])] = &[
    (
        "ValidCertificatePathTest1",
        &[
            (DEFAULT, true),
            (EXPLICIT, true),
            (explicit(&[1]), true),
            (explicit(&[2]), false),
            (explicit(&[1, 2]), true),
        ],
    ),
    (
        "AllCertificatesNoPoliciesTest2",
        &[(DEFAULT, true), (EXPLICIT, false)],
    ),
    (
        "DifferentPoliciesTest3",
        &[
            (DEFAULT, true),
            (EXPLICIT, false),
            (explicit(&[1, 2]), false),
        ],
    ),
    ("DifferentPoliciesTest4", &[(DEFAULT, false)]),
    ("DifferentPoliciesTest5", &[(DEFAULT, false)]),
    (
        "OverlappingPoliciesTest6",
        &[
            (DEFAULT, true),
            (accepts(&[1]), true),
            (accepts(&[2]), false),
        ],
    ),
    ("DifferentPoliciesTest7", &[(DEFAULT, false)]),
    ("DifferentPoliciesTest8", &[(DEFAULT, false)]),
    ("DifferentPoliciesTest9", &[(DEFAULT, false)]),
    (
        "AllCertificatesSamePoliciesTest10",
        &[
            (DEFAULT, true),
            (accepts(&[1]), true),
            (accepts(&[2]), true),
        ],
    ),
    (
        "AllCertificatesanyPolicyTest11",
        &[(DEFAULT, true), (accepts(&[1]), true)],
    ),
    ("DifferentPoliciesTest12", &[(DEFAULT, false)]),
    (
        "AllCertificatesSamePoliciesTest13",
        &[
            (accepts(&[1]), true),
            (accepts(&[2]), true),
            (accepts(&[3]), true),
        ],
    ),
    (
        "AnyPolicyTest14",
        &[(accepts(&[1]), true), (accepts(&[2]), false)],
    ),
    ("UserNoticeQualifierTest15", &[(DEFAULT, true)]),
    ("UserNoticeQualifierTest16", &[(DEFAULT, true)]),
    ("UserNoticeQualifierTest17", &[(DEFAULT, true)]),
    (
        "UserNoticeQualifierTest18",
        &[(accepts(&[1]), true), (accepts(&[2]), true)],
    ),
    ("UserNoticeQualifierTest19", &[(DEFAULT, true)]),
    ("CPSPointerQualifierTest20", &[(DEFAULT, true)]),
    (
        "ValidPolicyMappingTest1",
        &[
            (accepts(&[1]), true),
            (accepts(&[2]), false),
            (
                Settings {
                    inhibit_mapping: true,
                    ..accepts(&[1])
                },
                false,
            ),
        ],
    ),
    (
        "InvalidPolicyMappingTest2",
        &[
            (DEFAULT, false),
            (
                Settings {
                    inhibit_mapping: true,
                    ..DEFAULT
                },
                false,
            ),
        ],
    ),
    (
        "ValidPolicyMappingTest3",
        &[(accepts(&[1]), false), (accepts(&[2]), true)],
    ),
    (
        "ValidPolicyMappingTest5",
        &[(accepts(&[1]), true), (accepts(&[6]), false)],
    ),
    (
        "ValidPolicyMappingTest6",
        &[(accepts(&[1]), true), (accepts(&[6]), false)],
    ),
    (
        "ValidPolicyMappingTest12",
        &[(accepts(&[1]), true), (accepts(&[2]), true)],
    ),
    (
        "inhibitAnyPolicyTest3",
        &[
            (DEFAULT, true),
            (
                Settings {
                    inhibit_any: true,
                    ..DEFAULT
                },
                false,
            ),
        ],
    ),
];

/// The cases of these end entities.
pub(crate) fn all_cases(end_entities: &[String]) -> Vec<Case> {
    let mut cases = Vec::new();
    for end_entity in end_entities {
        let settings = SETTINGS.iter().find(|(name, _)| name == end_entity);
        let by_name = [(DEFAULT, end_entity.starts_with("Valid"))];
        let settings = settings.map_or(&by_name[..], |(_, settings)| settings);
        for (index, &(of_case, is_valid)) in settings.iter().enumerate() {
            cases.push(Case {
                end_entity: end_entity.clone(),
                number: (settings.len() > 1).then_some(1 + index),
                settings: of_case,
                is_valid,
            });
        }
    }
    cases
}

//! The model that a request's body names.
//!
//! The gateway reads the body as strictly as it can: two fields of one name, `Model` for `model`, a query
//! that names a model and a compressed body are denied, because the server behind may read them in another
//! way than the gateway.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use hyper::body::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// The fields of OpenAI's and Anthropic's requests that choose no other model, host, key or user. All others
/// are denied, because AI gateways have many fields that do: `fallbacks`, `api_base`, `user_config`.
const USUAL_FIELDS: [&str; 56] = [
    "audio",
    "best_of",
    "cache_control",
    "dimensions",
    "echo",
    "encoding_format",
    "frequency_penalty",
    "function_call",
    "functions",
    "include",
    "input",
    "instructions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "messages",
    "modalities",
    "model",
    "n",
    "output_config",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "stop_sequences",
    "store",
    "stream",
    "stream_options",
    "suffix",
    "system",
    "temperature",
    "text",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncation",
    "typical_p",
    "verbosity",
    "voice",
    "web_search_options",
];

/// The names in a query that choose no model: those of Azure and of Anthropic.
const USUAL_QUERY: [&str; 2] = ["api-version", "beta"];

const MAX_FIELDS: usize = 128;

/// The longest name of a model, in bytes.
const MAX_MODEL: usize = 256;

/// What is known of the body when the rules are asked.
#[derive(Clone)]
pub(super) enum BodyFacts {
    /// The body is read if a rule depends on it.
    Unread,
    Read(Result<ModelRequest, Cow<'static, str>>),
}

/// The top level of a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelRequest {
    pub(super) model: String,
    /// The names of all fields.
    fields: Vec<String>,
}

/// The models of a route.
pub(super) struct ModelRule {
    models: Vec<String>,
    /// Besides the usual ones.
    fields: Vec<String>,
}

impl ModelRule {
    pub(super) const fn new(models: Vec<String>, fields: Vec<String>) -> Self {
        Self { models, fields }
    }

    /// Whether the route allows the body.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Cow<'static, str>> {
        let found = match request.extensions.get::<BodyFacts>() {
            Some(BodyFacts::Unread) => return Ok(()),
            Some(BodyFacts::Read(Ok(found))) => found,
            Some(BodyFacts::Read(Err(why))) => return Err(why.clone()),
            None => return Err("the body was not read".into()),
        };
        self.check_query(request.uri.query().unwrap_or_default())?;
        let is_known =
            |field: &String| USUAL_FIELDS.contains(&&**field) || self.fields.contains(field);
        if let Some(field) = found.fields.iter().find(|field| !is_known(field)) {
            return Err(format!("the body has the field {field:?}").into());
        }
        if !self.models.contains(&found.model) {
            return Err(format!("the model is {:?}", found.model).into());
        }
        Ok(())
    }

    /// LiteLLM obeys `?model=` before the body.
    fn check_query(&self, query: &str) -> Result<(), Cow<'static, str>> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            let is_known =
                USUAL_QUERY.contains(&name) || self.fields.iter().any(|field| field == name);
            if !is_known || pair.contains(';') {
                return Err(format!("the query has the field {name:?}").into());
            }
        }
        Ok(())
    }
}

impl ModelRequest {
    /// Reads a body with the headers of its request.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, Cow<'static, str>> {
        if headers.contains_key(CONTENT_ENCODING) {
            return Err("the body is encoded".into());
        }
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (Some(value), None) if value.to_str().is_ok_and(is_json) => {}
            _ => return Err("the body's type is not application/json".into()),
        }
        if std::str::from_utf8(body).is_err() {
            return Err("the body is not UTF-8".into());
        }
        let found: Self = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no request to a model: {error}"))?;
        Ok(found)
    }
}

/// `application/json` in UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = |text: &str| text.eq_ignore_ascii_case("application/json");
    parts.next().is_some_and(is_json)
        && parts.all(|part| {
            part.eq_ignore_ascii_case("charset=utf-8")
                || part.eq_ignore_ascii_case("charset=\"utf-8\"")
        })
}

/// A name without distinction of case, also by the rules of Go, for which `ſ` is an `s`.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

impl<'de> Deserialize<'de> for ModelRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopLevel;

        impl<'de> Visitor<'de> for TopLevel {
            type Value = ModelRequest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ModelRequest, M::Error> {
                let mut model = None;
                let mut fields = Vec::new();
                let mut seen = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    let known = folded(&name);
                    if seen.contains(&known) {
                        return Err(M::Error::custom(format!("two fields {known:?}")));
                    }
                    if fields.len() == MAX_FIELDS {
                        return Err(M::Error::custom("too many fields"));
                    }
                    if name == "model" {
                        model = Some(map.next_value::<String>()?);
                    } else if known == "model" {
                        return Err(M::Error::custom(format!("a field {name:?}")));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                    fields.push(name);
                    seen.insert(known);
                }
                let model = model.ok_or_else(|| M::Error::custom("no field \"model\""))?;
                if model.len() > MAX_MODEL {
                    return Err(M::Error::custom("the model's name is too long"));
                }
                Ok(ModelRequest { model, fields })
            }
        }

        deserializer.deserialize_map(TopLevel)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn check(content_type: &str, target: &str, body: &str) -> Result<(), String> {
        let rule = ModelRule::new(vec!["small".into(), "m/ü".into()], vec!["x".into()]);
        let (mut parts, ()) = Request::post(target).body(()).unwrap().into_parts();
        let content_type = HeaderValue::from_str(content_type).unwrap();
        parts.headers.insert(CONTENT_TYPE, content_type);
        let read = ModelRequest::read(&parts.headers, &Bytes::from(body.to_owned()));
        parts.extensions.insert(BodyFacts::Read(read));
        rule.check(&parts).map_err(Cow::into_owned)
    }

    #[test]
    fn a_model_of_the_list_is_allowed_in_every_form_of_json() {
        for body in [
            r#"{"model":"small"}"#,
            r#" { "messages" : [ {"content":"\"model\": \"large\"", "model":"large"} ] , "model" : "small" } "#,
            r#"{"m\u006fdel":"sm\u0061ll","x":{"model":"large","models":[]}}"#,
            r#"{"model":"m/ü"}"#,
        ] {
            for kind in ["application/json", "Application/JSON; charset=UTF-8"] {
                for target in ["/", "/?api-version=1&beta=true"] {
                    assert_eq!(check(kind, target, body), Ok(()), "{body}");
                }
            }
        }
    }

    #[test]
    fn what_servers_may_read_in_different_ways_is_denied_for_its_reason() {
        let json = "application/json";
        for (kind, target, body, says) in [
            (json, "/", r#"{"model":"large"}"#, "the model is \"large\""),
            (json, "/", r#"{"model":"Small"}"#, "the model is \"Small\""),
            (
                json,
                "/",
                r#"{"model":"small "}"#,
                "the model is \"small \"",
            ),
            (
                json,
                "/",
                r#"{"model":"small","model":"small"}"#,
                "two fields \"model\"",
            ),
            (
                json,
                "/",
                r#"{"model":"small","Model":"large"}"#,
                "two fields \"model\"",
            ),
            (json, "/", r#"{"MODEL":"small"}"#, "a field \"MODEL\""),
            (
                json,
                "/",
                r#"{"model":["small"]}"#,
                "invalid type: sequence",
            ),
            (json, "/", r#"{"model":null}"#, "invalid type: null"),
            (json, "/", r#"{"messages":[]}"#, "no field \"model\""),
            (json, "/", r#"[{"model":"small"}]"#, "expected an object"),
            (
                json,
                "/",
                r#"{"model":"small"}{"model":"large"}"#,
                "trailing characters",
            ),
            (json, "/", r#"{"model":"small""#, "EOF while parsing"),
            (json, "/", "\u{feff}{\"model\":\"small\"}", "expected value"),
            (json, "/", "", "EOF while parsing"),
            (
                json,
                "/",
                r#"{"model":"small","models":["large"]}"#,
                "the body has the field \"models\"",
            ),
            (
                json,
                "/",
                r#"{"model":"small","fallback\u017f":["large"]}"#,
                "the body has the field \"fallbackſ\"",
            ),
            (
                json,
                "/",
                r#"{"model":"small","Messages":[]}"#,
                "the body has the field \"Messages\"",
            ),
            (
                json,
                "/",
                r#"{"model":"small","api_base":"http://evil.example"}"#,
                "the field \"api_base\"",
            ),
            (
                json,
                "/?model=large",
                r#"{"model":"small"}"#,
                "the query has the field \"model\"",
            ),
            (
                json,
                "/?beta=b&MODEL=large",
                r#"{"model":"small"}"#,
                "the query has the field \"MODEL\"",
            ),
            (
                json,
                "/?m%6fdel=large",
                r#"{"model":"small"}"#,
                "the query has the field \"m%6fdel\"",
            ),
            (
                json,
                "/?beta=b;model=large",
                r#"{"model":"small"}"#,
                "the query has the field \"beta\"",
            ),
            (
                "text/plain",
                "/",
                r#"{"model":"small"}"#,
                "not application/json",
            ),
            (
                "application/json; charset=utf-16",
                "/",
                r#"{"model":"small"}"#,
                "not application/json",
            ),
        ] {
            let why = check(kind, target, body).expect_err(body);
            assert!(why.contains(says), "{body}: {why}");
        }
        let many: Vec<_> = (0..200).map(|number| format!("\"a{number}\":1")).collect();
        let why = check(json, "/", &format!("{{{}}}", many.join(","))).expect_err("many");
        assert!(why.contains("too many fields"), "{why}");
    }

    #[test]
    fn an_encoded_body_and_one_that_was_not_read_are_denied() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
        let read = ModelRequest::read(&headers, &Bytes::from_static(br#"{"model":"small"}"#));
        assert_eq!(read, Err("the body is encoded".into()));

        let rule = ModelRule::new(vec!["small".into()], Vec::new());
        let (mut parts, ()) = Request::post("/").body(()).unwrap().into_parts();
        assert_eq!(rule.check(&parts), Err("the body was not read".into()));
        parts.extensions.insert(BodyFacts::Unread);
        assert_eq!(rule.check(&parts), Ok(()));
    }
}

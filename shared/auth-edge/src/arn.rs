//! execute-api ARNs: `arn:{partition}:execute-api:{region}:{account}:{apiId}/{stage}/{VERB}/{path}`.

use auth_core::policy::{MAX_RESOURCE, resource};
use std::fmt;

/// The ARN of one request. The path may hold colons and anything else that a caller sends; it never becomes a
/// resource unless it is free of wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodArn {
    /// Up to and with the stage: `arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/prod`.
    stage: String,
    /// Upper case; `$connect` for a WebSocket.
    pub method: String,
    /// With a leading slash.
    pub path: String,
}

impl MethodArn {
    /// Reads an ARN.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service, region, account) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let mut rest = parts.next()?.splitn(4, '/');
        let (api, stage, method) = (rest.next()?, rest.next()?, rest.next()?);
        let path = rest.next();
        let plain = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let stage_ok = stage == "$default" || plain(stage);
        let method_ok = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
        if arn != "arn"
            || service != "execute-api"
            || ![partition, region, account, api].into_iter().all(plain)
            || !stage_ok
        {
            return None;
        }
        let path_at = text.len() - path.map_or(0, |path| path.len() + 1);
        let path = match (method, path) {
            ("$connect", None) => "/$connect",
            // The path of a WebSocket's ARN, which would be written as one.
            (_, Some("$connect")) => return None,
            (_, Some(_)) if method_ok => text.get(path_at..)?,
            _ => return None,
        };
        let stage = text.get(..path_at - method.len() - 1)?;
        Some(Self { stage: stage.to_owned(), method: method.to_owned(), path: path.to_owned() })
    }

    /// The ARN of the API and its stage.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Everything of this API and stage.
    pub fn everything(&self) -> String {
        format!("{}/*", self.stage)
    }

    /// This request alone; none if its path holds what a policy would take for a wildcard or a variable.
    pub fn exact(&self) -> Option<String> {
        let resource = self.to_string();
        (!resource.contains(['*', '?', '$']) || self.method == "$connect")
            .then_some(resource)
            .filter(|r| r.len() <= MAX_RESOURCE)
    }
}

impl fmt::Display for MethodArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&resource(&self.stage, &self.method, &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_read_whole_or_not_at_all() {
        let rows = [
            ("a path with colons", "arn:aws:execute-api:eu-west-1:1:a/s/GET/v1/users:batch", Some("/v1/users:batch")),
            ("the root", "arn:aws:execute-api:eu-west-1:1:a/s/GET/", Some("/")),
            ("another partition", "arn:aws-cn:execute-api:cn-north-1:1:a/s/GET/x", Some("/x")),
            ("the default stage", "arn:aws:execute-api:eu-west-1:1:a/$default/GET/x", Some("/x")),
            ("a WebSocket", "arn:aws:execute-api:eu-west-1:1:a/s/$connect", Some("/$connect")),
            ("a double slash stays", "arn:aws:execute-api:eu-west-1:1:a/s/GET//x", Some("//x")),
            ("a star", "*", None),
            ("a star for an API", "arn:aws:execute-api:eu-west-1:1:*/s/GET/x", None),
            ("a star for a verb", "arn:aws:execute-api:eu-west-1:1:a/s/*/x", None),
            ("cut short", "arn:aws:execute-api:eu-west-1:1:a", None),
            ("a WebSocket's path after a verb", "arn:aws:execute-api:eu-west-1:1:a/s/GET/$connect", None),
            ("no path", "arn:aws:execute-api:eu-west-1:1:a/s/GET", None),
            ("another service", "arn:aws:lambda:eu-west-1:1:a/s/GET/x", None),
        ];
        for (sentence, text, want) in rows {
            let got = MethodArn::parse(text);
            assert_eq!(got.as_ref().map(|a| a.path.as_str()), want, "{sentence}");
            if let Some(arn) = got {
                assert_eq!(arn.to_string(), text, "{sentence}: printed as read");
            }
        }
        let wild = MethodArn::parse("arn:aws:execute-api:eu-west-1:1:a/s/GET/x/*").unwrap();
        assert_eq!(wild.exact(), None, "a wildcard of a caller never becomes a resource");
    }
}

//! Evaluates what a Lambda authorizer answered, as API Gateway does: an explicit Deny beats any Allow, `*` matches any
//! run of characters, `/` included, `?` exactly one.

use serde_json::Value;

/// What a policy says of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    ExplicitDeny,
    NoMatch,
}

/// Evaluates a policy document. What is not modelled here is refused, not passed over.
pub(crate) fn evaluate(document: &Value, arn: &str) -> Result<Effect, String> {
    let statements = match document.get("Statement") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err("the policy has no Statement".into()),
    };
    let mut effect = Effect::NoMatch;
    for statement in statements {
        for unknown in ["NotAction", "NotResource", "Condition", "Principal", "NotPrincipal"] {
            if statement.get(unknown).is_some() {
                return Err(format!("the local gateway does not model {unknown}"));
            }
        }
        let actions = texts(statement.get("Action")).ok_or("a statement without Action")?;
        let resources = texts(statement.get("Resource")).ok_or("a statement without Resource")?;
        let applies = actions.iter().any(|a| matches(&a.to_ascii_lowercase(), "execute-api:invoke"))
            && resources.iter().any(|r| matches(r, arn));
        match statement.get("Effect").and_then(Value::as_str) {
            Some("Deny") if applies => return Ok(Effect::ExplicitDeny),
            Some("Allow") if applies => effect = Effect::Allow,
            Some("Allow" | "Deny") => {}
            _ => return Err("a statement whose Effect is neither Allow nor Deny".into()),
        }
    }
    Ok(effect)
}

/// All resources of the statements that allow.
pub(crate) fn resources(document: &Value) -> Vec<String> {
    let statements = document.get("Statement").and_then(Value::as_array);
    statements.into_iter().flatten().filter_map(|s| texts(s.get("Resource"))).flatten().collect()
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // reach[j]: whether the pattern so far matches the first j characters.
    let mut reach: Vec<bool> = std::iter::once(true).chain(t.iter().map(|_| false)).collect();
    for c in p {
        let mut next = vec![false; reach.len()];
        let mut any = false;
        for (j, cell) in next.iter_mut().enumerate() {
            let before = j.checked_sub(1).and_then(|b| Some((reach.get(b)?, t.get(b)?)));
            any |= reach.get(j).copied().unwrap_or(false);
            *cell = match c {
                '*' => any,
                '?' => before.is_some_and(|(r, _)| *r),
                c => before.is_some_and(|(r, x)| *r && *x == c),
            };
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_evaluated_as_iam_does() {
        let arn = "arn:aws:execute-api:r:1:a/s/GET/x/y";
        let one = |effect: &str, resource: &str| json!({"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource});
        let rows = [
            (
                "a star crosses slashes",
                json!({"Statement": [one("Allow", "arn:aws:execute-api:r:1:a/s/GET/*")]}),
                Ok(Effect::Allow),
            ),
            (
                "a question mark is one character",
                json!({"Statement": [one("Allow", "arn:aws:execute-api:r:1:a/s/GET/x/?")]}),
                Ok(Effect::Allow),
            ),
            (
                "and not two",
                json!({"Statement": [one("Allow", "arn:aws:execute-api:r:1:a/s/GET/?")]}),
                Ok(Effect::NoMatch),
            ),
            ("a statement may stand alone", json!({"Statement": one("Allow", "*")}), Ok(Effect::Allow)),
            (
                "a deny beats an allow",
                json!({"Statement": [one("Allow", "*"), one("Deny", "*/y")]}),
                Ok(Effect::ExplicitDeny),
            ),
            ("nothing matches", json!({"Statement": [one("Allow", "arn:other")]}), Ok(Effect::NoMatch)),
            ("no statement", json!({}), Err(())),
            (
                "a condition is not passed over",
                json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}}]}),
                Err(()),
            ),
        ];
        for (sentence, policy, want) in rows {
            assert_eq!(evaluate(&policy, arn).map_err(|_| ()), want, "{sentence}");
        }
    }
}

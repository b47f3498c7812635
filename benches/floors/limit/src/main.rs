//! The limit of the machine: a blocking loop that speaks the Runtime API over one socket, verifies the token's signature
//! by `aws-lc-rs` with a key that was read once, and answers. It looks at no claim and parses nothing that it need not.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as URL;
use serde_json::Value;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

enum Key {
    Public(ParsedPublicKey),
    Hmac(Box<hmac::Key>),
}

fn main() -> Result<(), Box<dyn Error>> {
    let set: Value = serde_json::from_slice(&std::fs::read(std::env::var("JWKS_FILE")?)?)?;
    let algorithm = std::env::var("ALGORITHM")?;
    let all = set.get("keys").and_then(Value::as_array).ok_or("no keys")?;
    let mut keys = Vec::new();
    for jwk in all.iter().filter(|k| k.get("alg").is_some_and(|alg| *alg == *algorithm)) {
        let part = |name: &str| decoded(jwk.get(name).and_then(Value::as_str).unwrap_or_default());
        keys.push(match algorithm.as_str() {
            "RS256" => {
                let numbers = [integer(&part("n")?), integer(&part("e")?)].concat();
                Key::Public(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, tagged(0x30, &numbers))?)
            }
            "ES256" => Key::Public(ParsedPublicKey::new(
                &ECDSA_P256_SHA256_FIXED,
                [&[4u8][..], &part("x")?, &part("y")?].concat(),
            )?),
            "EdDSA" => Key::Public(ParsedPublicKey::new(&ED25519, part("x")?)?),
            _ => Key::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &part("k")?))),
        });
    }
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API")?;
    let mut stream = TcpStream::connect(&api)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
    let ask = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {api}\r\n\r\n");
    loop {
        stream.write_all(ask.as_bytes())?;
        let (id, event) = answer(&mut reader)?;
        let text = std::str::from_utf8(&event)?;
        let token = text.split("Bearer ").nth(1).and_then(|rest| rest.split('"').next()).ok_or("no token")?;
        let (input, signature) = token.rsplit_once('.').ok_or("no signature")?;
        let signature = decoded(signature)?;
        let good = keys.iter().any(|key| match key {
            Key::Public(key) => key.verify_sig(input.as_bytes(), &signature).is_ok(),
            Key::Hmac(key) => hmac::verify(key, input.as_bytes(), &signature).is_ok(),
        });
        let (path, body) = match good {
            true => (
                "response",
                r#"{"principalId":"partner","policyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}}"#,
            ),
            false => ("error", r#"{"errorType":"E","errorMessage":"Unauthorized"}"#),
        };
        let head = format!(
            "POST /2018-06-01/runtime/invocation/{id}/{path} HTTP/1.1\r\nHost: {api}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        answer(&mut reader)?;
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(URL.decode(text).map_err(|e| e.to_string())?)
}

/// DER of a positive number.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    tagged(0x02, &[sign, bytes].concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let length = match length {
        0..0x80 => vec![length as u8],
        _ => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [&[tag][..], &length, content].concat()
}

/// The request id and the body of an answer.
fn answer(reader: &mut BufReader<TcpStream>) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    let (mut id, mut length, mut line) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err("closed".into());
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") => id = value.to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((id, body))
}

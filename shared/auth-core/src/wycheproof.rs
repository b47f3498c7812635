//! Project Wycheproof's vectors through our keys and our reader of tokens: what is invalid is refused, and what is valid,
//! of an algorithm and a key that we take, is taken.

use crate::jwk::VerifyingKey;
use crate::jws::UnverifiedJws;
use crate::keyring::{Keyring, KeyringDocument};
use crate::secret::from_base64url;
use crate::time::Timestamp;
use serde_json::{Value, json};

macro_rules! vectors {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../tests/corpus/wycheproof/", $name, ".json")))
            .unwrap()
    };
}

/// Each test with its group.
fn tests(vectors: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let groups = vectors["testGroups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["tests"].as_array().unwrap().iter().map(move |test| (group, test)))
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Holds the verdicts on raw signatures against the vectors; how many were valid, and taken.
fn signatures(vectors: &Value, key: impl Fn(&Value, &Value) -> Option<VerifyingKey>, signature: &str) -> usize {
    let mut taken = 0;
    for (group, test) in tests(vectors) {
        let Some(key) = key(group, test) else { continue };
        let got = key.has_signed(&unhex(&test["msg"]), &unhex(&test[signature]));
        assert_eq!(got, test["result"] == "valid", "{}: {}", test["tcId"], test["comment"]);
        taken += usize::from(got);
    }
    taken
}

/// The group's public key, as one of ours would be written.
fn public(group: &Value, member: &str, algorithm: &str) -> Option<VerifyingKey> {
    let mut jwk = group[member].clone();
    jwk["alg"] = algorithm.into();
    VerifyingKey::from_jwk(&jwk).ok()
}

#[test]
fn signatures_of_each_algorithm_are_judged_as_the_vectors_say() {
    let ecdsa = vectors!("ecdsa_secp256r1_sha256_p1363_test");
    assert!(signatures(&ecdsa, |group, _| public(group, "publicKeyJwk", "ES256"), "sig") > 100);
    let ed25519 = vectors!("ed25519_test");
    assert!(signatures(&ed25519, |group, _| public(group, "publicKeyJwk", "EdDSA"), "sig") > 50);
    let rsa = vectors!("rsa_signature_2048_sha256_test");
    assert!(signatures(&rsa, |group, _| public(group, "keyJwk", "RS256"), "sig") > 5);
    let hmac = vectors!("hmac_sha256_test");
    let secret = |group: &Value, test: &Value| {
        let k = crate::secret::base64url(&unhex(&test["key"]));
        // A shortened tag is valid for others; JWA has none (RFC 7518 section 3.2).
        let whole = group["tagSize"] == 256;
        whole.then(|| VerifyingKey::from_jwk(&json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": k})).ok()).flatten()
    };
    assert!(signatures(&hmac, secret, "tag") > 20);
}

/// Whether a token is taken by a key, as far as everything but its payload goes: those here are no JSON.
fn is_taken(token: &Value, key: &VerifyingKey) -> bool {
    let Some(text) = token.as_str() else { return false };
    // With claims in the place of the payload the signature is wrong, but the form is right or not.
    let Some((input, signature)) = text.rsplit_once('.') else { return false };
    let Some((header, payload)) = input.split_once('.') else { return false };
    let with_claims = format!("{header}.e30.{signature}");
    let Ok(read) = UnverifiedJws::parse(&with_claims) else { return false };
    read.unverified_algorithm() == key.algorithm()
        && read.unverified_kid().is_none_or(|kid| kid == key.kid())
        && from_base64url(payload).is_some()
        && from_base64url(signature).is_some_and(|signature| key.has_signed(input.as_bytes(), &signature))
}

fn lost_its_padding(test: &Value) -> bool {
    let says = |member: &str, text: &str| test[member].as_str().is_some_and(|said| said.contains(text));
    says("comment", "invalidBase64Padding") && !says("jws", "=")
}

#[test]
fn tokens_are_judged_as_the_vectors_say() {
    let (mut taken, mut refused) = (0, 0);
    for (group, test) in tests(&vectors!("json_web_signature_test")) {
        // An HMAC key has no public half.
        let jwk = if group["public"].is_null() { &group["private"] } else { &group["public"] };
        let key = VerifyingKey::from_jwk(jwk);
        let got = key.as_ref().is_ok_and(|key| is_taken(&test["jws"], key));
        match (test["result"] == "valid", &key) {
            // Some lost their padding when the vectors were written: as they stand, they are well made and rightly signed.
            (false, _) if lost_its_padding(test) => {}
            // With a character that is passed over by those who decode loosely (RFC 7515 section 2 has no such).
            (true, Ok(_)) if test["jws"].as_str().is_some_and(|text| text.contains('?')) => assert!(!got),
            (false, _) => assert!(!got, "{}: {}", test["tcId"], test["comment"]),
            (true, Ok(_)) => assert!(got, "{}: {}", test["tcId"], test["comment"]),
            // Of an algorithm that we do not take.
            (true, Err(_)) => {}
        }
        taken += usize::from(got);
        refused += usize::from(!got);
    }
    assert!(taken > 10 && refused > 300, "{taken} taken, {refused} refused");
}

#[test]
fn sets_of_keys_and_encrypted_tokens_are_judged_as_the_vectors_say() {
    for vectors in [vectors!("json_web_key_test"), vectors!("json_web_crypto_test")] {
        for (group, test) in tests(&vectors) {
            let token = if test["jws"].is_null() { &test["jwe"] } else { &test["jws"] };
            let set = if group["private"]["keys"].is_array() {
                group["private"].clone()
            } else {
                json!({"keys": [group["private"]]})
            };
            let keyring = KeyringDocument::from_jwks(&set, [1; 32], [2; 32], Timestamp(0));
            let keyring = keyring.and_then(|document| Keyring::parse(&document.to_text()));
            let keys = set["keys"].as_array().unwrap();
            let named = |keyring: &Keyring| {
                let mut kids = keys.iter().filter_map(|key| key["kid"].as_str());
                kids.any(|kid| keyring.verifying_key(kid).is_some_and(|key| is_taken(token, key)))
            };
            let got = keyring.is_ok_and(|keyring| named(&keyring));
            assert!(!got || test["result"] == "valid", "{}: {}", test["tcId"], test["comment"]);
        }
    }
}

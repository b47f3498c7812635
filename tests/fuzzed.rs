//! What fuzzing has found worth keeping, through every door again; and each of it once more with a byte changed, a byte
//! left out, and cut short at every length that is cheap.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[test]
fn what_must_hold_at_each_door_holds_of_all_that_is_kept() {
    for (name, door) in doors::DOORS {
        let path = format!("{}/fuzz/{name}", env!("CARGO_MANIFEST_DIR"));
        let kept = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(kept.lines().count() > 5, "{name} has nothing to try");
        let mut changes = 0_usize;
        for line in kept.lines() {
            let input = STANDARD.decode(line).unwrap();
            door(&input);
            for _ in 0..8.min(input.len()) {
                // Far apart from one to the next, and the same in each run.
                changes = changes.wrapping_add(7_368_787);
                let at = changes % input.len();
                let mut changed = input.clone();
                changed[at] ^= 1 << (changes % 8);
                door(&changed);
                changed.remove(at);
                door(&changed);
                door(&input[..at]);
            }
        }
    }
}

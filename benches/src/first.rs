//! What the first signature of a process costs beyond the second: AWS-LC may seed itself by measuring the processor's
//! jitter, which takes longer than all the rest of a cold start. Each pair needs a process of its own.

use crate::{figures, process};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use std::process::Command;
use std::time::Duration;

/// So many processes.
const PROCESSES: usize = 20;

/// The most that the first may cost beyond the second, in milliseconds.
const MOST_MS: f64 = 1.0;

/// Starts processes, and prints the median of their differences.
pub(crate) fn print() -> Result<(), String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut beyond = Vec::new();
    for _ in 0..PROCESSES {
        let output = Command::new(&own).arg("first").output().map_err(|e| e.to_string())?;
        beyond.push(String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().map_err(|e| e.to_string())?);
    }
    let beyond = figures::median(beyond);
    let missed = if beyond > MOST_MS { "  missed" } else { "" };
    println!(
        "{:<78} {beyond:>7.2} {MOST_MS:>8.1}{missed}",
        "CPU, ms: the first ES256 signature of a process beyond the second"
    );
    Ok(())
}

/// In such a process: prints the difference, in milliseconds of processor time.
pub(crate) fn measure() -> Result<(), String> {
    // A key of nobody's, in RFC 5915's form: version 1, and the bytes from 1 to 32.
    let der: Vec<u8> = [0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20].into_iter().chain(1..=32).collect();
    let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
    let key = key.map_err(|e| e.to_string())?;
    let random = SystemRandom::new();
    let mut took = [0.0; 2];
    for took in &mut took {
        let before = used();
        key.sign(&random, b"text").map_err(|e| e.to_string())?;
        *took = (used() - before) / 1e3;
    }
    println!("{:.3}", took[0] - took[1]);
    Ok(())
}

/// Processor time so far, in microseconds. It is brought up to date when another thread has its turn.
fn used() -> f64 {
    std::thread::sleep(Duration::from_millis(1));
    process::cpu_us(std::process::id())
}

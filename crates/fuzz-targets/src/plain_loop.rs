//! Targets in a plain loop, on stable Rust: their corpus first, then mutants of it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "for people")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{TARGETS, Target, mutate};

/// The directory of cargo-fuzz.
const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");

/// Runs the targets of these names, or all of them, for a time that they share. Stops at the first input
/// that breaks one, and adds it to the corpus.
///
/// # Errors
/// When no target has one of the names, and when a corpus can't be read or written.
pub fn run_for(time: Duration, names: &[String]) -> Result<ExitCode> {
    let is_chosen = |target: &&Target| names.is_empty() || names.iter().any(|n| n == target.name);
    let chosen: Vec<&Target> = TARGETS.iter().filter(is_chosen).collect();
    ensure!(!chosen.is_empty(), "no target has this name: {}", names.join(" "));
    let share = time / u32::try_from(chosen.len())?;
    let seed = fastrand::u64(..);
    println!("seed {seed}, {} s for each target", share.as_secs_f32());
    let mut random = fastrand::Rng::with_seed(seed);
    for target in chosen {
        let corpus = read_corpus(target)?;
        let started = Instant::now();
        let mut inputs = 0_u64;
        // Each seed as it is, then its mutants.
        while started.elapsed() < share || inputs < corpus.len() as u64 {
            let plain = usize::try_from(inputs).ok().and_then(|number| corpus.get(number));
            let input = plain.cloned().unwrap_or_else(|| mutate::mutate_one(&corpus, &mut random));
            if catch_unwind(|| (target.run)(&input)).is_err() {
                let path = save_input(target, &input)?;
                eprintln!("{}: the input in {} breaks it", target.name, path.display());
                eprintln!("try again with: cargo run --package fuzz-targets -- 1 {}", target.name);
                return Ok(ExitCode::FAILURE);
            }
            inputs += 1;
        }
        println!("{}: {inputs} inputs", target.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn read_corpus(target: &Target) -> Result<Vec<Vec<u8>>> {
    let folder = Path::new(FUZZ).join("corpus").join(target.name);
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    ensure!(!paths.is_empty(), "{} is empty", folder.display());
    paths.sort();
    paths.iter().map(|path| Ok(fs::read(path)?)).collect()
}

/// Adds an input that breaks its target to the corpus, so that it is tried first from now on.
fn save_input(target: &Target, input: &[u8]) -> Result<PathBuf> {
    let name = format!("broke-{:08x}", fastrand::u32(..));
    let path = Path::new(FUZZ).join("corpus").join(target.name).join(name);
    fs::write(&path, input)?;
    Ok(path)
}

//! Waits for a condition, with a sign of life.

use std::time::{Duration, Instant};

use anstream::{eprint, eprintln};
use anyhow::{Context, Result, bail};

const PAUSE: Duration = Duration::from_millis(100);

/// Time limit, more than anything in the demo takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `probe` until it returns something. Prints what it waits for if that takes more than a
/// second.
pub(super) fn wait_until<T>(what: &str, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    let mut seconds = 0;
    loop {
        let answer = probe().with_context(|| format!("waiting until {what}"))?;
        let waited = started.elapsed();
        if answer.is_some() || waited > PATIENCE {
            if seconds > 0 {
                eprintln!();
            }
            let Some(answer) = answer else { bail!("waited {PATIENCE:?} in vain until {what}") };
            return Ok(answer);
        }
        if waited.as_secs() > seconds {
            match seconds {
                0 => eprint!("    waiting until {what} ."),
                _ => eprint!("."),
            }
            seconds = waited.as_secs();
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_until_there_is_an_answer() {
        let mut asked = 0;
        let answer = wait_until("it is two", || {
            asked += 1;
            Ok((asked == 2).then_some(asked))
        });
        assert_eq!(answer.unwrap(), 2);
    }

    #[test]
    fn a_question_that_cannot_be_asked_ends_the_wait() {
        let result: Result<()> = wait_until("it rains", || bail!("no window"));
        assert!(format!("{:#}", result.unwrap_err()).contains("waiting until it rains: no window"));
    }
}

//! What several test files need: names that are unique and removed, also when the test fails.

use std::sync::Mutex;

/// A ring name of this test's own. Dropping it removes what is there.
pub struct Unique(pub String);

/// A name that no other test and no other run has.
pub fn unique() -> Unique {
    static COUNT: Mutex<u32> = Mutex::new(0);
    let mut count = COUNT.lock().unwrap();
    *count += 1;
    Unique(format!("/slipring-test-{}-{count}", std::process::id()))
}

impl Drop for Unique {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("/dev/shm{}", self.0));
    }
}

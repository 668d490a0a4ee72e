//! Shared memory by itself: what it has not is what the others are for.
#![forbid(unsafe_code)]

use super::{Column, Found, found, outcome};
use crate::memory::{PAGE, Page};
use crate::process::Child;
use std::io;

/// Probes a page shared by two processes.
pub(super) fn probe(column: Column) -> io::Result<Found> {
    match column {
        Column::Connectionless => {
            let (_reader, writer) = io::pipe()?;
            let refused = outcome(&Page::new()?.after_unmapping(&writer));
            found("no", format!("an address where it is not mapped: {refused}"))
        }
        Column::Reliable => found("n/a", "nothing is sent"),
        Column::FlowControl => {
            let page = Page::new()?;
            Child::holding(|| {
                page.write(b"first");
                page.write(b"other");
                Ok(())
            })?;
            let came = page.read(5);
            let seen = format!("stored first, then other, before anybody looked: {} is there", text(&came));
            found(if came == b"other" { "none" } else { "yes" }, seen)
        }
        Column::Records => {
            let page = Page::new()?;
            Child::holding(|| {
                page.write(b"abcde");
                page.write(b"fg");
                Ok(())
            })?;
            let came = page.read(5);
            let seen = format!(
                "stored abcde, then fg: {} is there, and nothing says what was stored when",
                text(&came)
            );
            found(if came == b"fgcde" { "none" } else { "yes" }, seen)
        }
        Column::Order => found("no", "a load gives what was stored last"),
        Column::Poll => {
            let file = rustix::fs::memfd_create("probe", rustix::fs::MemfdFlags::CLOEXEC)?;
            let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)?;
            let data = rustix::event::epoll::EventData::new_u64(0);
            let added = rustix::event::epoll::add(&epoll, &file, data, rustix::event::epoll::EventFlags::IN);
            let refused = outcome(&added.map_err(io::Error::from));
            found(
                if refused == "EPERM" { "no" } else { "yes" },
                format!("epoll_ctl of its descriptor: {refused}"),
            )
        }
        Column::OpenWaits => {
            let waits = Child::doing(|| Page::new().map(drop))?.waits()?;
            found(if waits { "yes" } else { "no" }, "mmap returned at once")
        }
        Column::Death => {
            let page = Page::new()?;
            page.write(b"old,old,");
            // Killed between two stores of what belongs together.
            let writer = Child::holding(|| {
                page.write(b"new,");
                Ok(())
            })?;
            writer.kill();
            let came = page.read(8);
            let seen = format!("who stored new, for old, twice was killed between: {} is there", text(&came));
            found(if came == b"new,old," { "torn, untold" } else { "whole" }, seen)
        }
        Column::Longest => found("any", format!("as many bytes as were mapped, here {PAGE}")),
        Column::Holds => found("n/a", "the next store takes the place of the last"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

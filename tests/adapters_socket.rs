//! Sockets between processes: what waits, who wakes it, what a death does, who is talked to. What can be compared with the
//! kernel's without waiting is in `conform/`.

mod common;

use common::{
    Board, Child, Dice, alone, asleep_until, errno, fork, interruptible, nap, restartable, scratch, until,
};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, geteuid};
use slipring::adapters::socket::{
    Datagram, Listener, Options, Seqpacket, SeqpacketListener, Stream, StreamListener,
};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer than this nothing here may take to hear of a death. The goal is 100 ms; a loaded machine gets more.
const BOUND: Duration = Duration::from_secs(5);
/// A user that is not this one.
const NOBODY: u32 = 65_534;

/// A kind of stream.
trait Streams {
    const WHOSE: &'static str;
    type S: Read + Write + Send + 'static;
    type L;
    fn pair() -> (Self::S, Self::S);
    fn listen(path: &Path) -> Self::L;
    fn accept(listener: &Self::L) -> Self::S;
    fn connect(path: &Path) -> io::Result<Self::S>;
}

struct Kernels;

impl Streams for Kernels {
    const WHOSE: &'static str = "kernel";
    type S = UnixStream;
    type L = UnixListener;
    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }
    fn listen(path: &Path) -> UnixListener {
        UnixListener::bind(path).unwrap()
    }
    fn accept(listener: &UnixListener) -> UnixStream {
        listener.accept().unwrap().0
    }
    fn connect(path: &Path) -> io::Result<UnixStream> {
        UnixStream::connect(path)
    }
}

struct Ours;

impl Streams for Ours {
    const WHOSE: &'static str = "slipring";
    type S = Stream;
    type L = StreamListener;
    fn pair() -> (Stream, Stream) {
        Stream::pair(&Options::new()).unwrap()
    }
    fn listen(path: &Path) -> StreamListener {
        StreamListener::bind(path, &Options::new()).unwrap()
    }
    fn accept(listener: &StreamListener) -> Stream {
        listener.accept().unwrap()
    }
    fn connect(path: &Path) -> io::Result<Stream> {
        Stream::connect(path, &Options::new())
    }
}

/// Everything that fits.
fn fill(stream: &mut Stream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sum = 0;
    let full = loop {
        match stream.write(&[7; 4096]) {
            Ok(len) => sum += len,
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(libc::EAGAIN));
    stream.set_nonblocking(false).unwrap();
    sum
}

// --- waiting ---

fn reader_sleeps<P: Streams>() {
    let (mut one, mut other) = P::pair();
    let read = move || {
        let mut to = [0; 10];
        one.read(&mut to).map(|len| to[..len].to_vec())
    };
    let (read, time) = asleep_until(read, || other.write_all(b"news").unwrap());
    assert_eq!(read.unwrap(), b"news");
    println!("{}: woken within {time:.1?}", P::WHOSE);
}

#[test]
fn a_reader_sleeps_until_there_are_bytes() {
    let _alone = alone();
    reader_sleeps::<Kernels>();
    reader_sleeps::<Ours>();
}

#[test]
fn a_sender_sleeps_until_there_is_room() {
    let _alone = alone();
    let (mut one, mut other) = Stream::pair(&Options::new()).unwrap();
    fill(&mut one);
    let write = move || (one.write(b"more"), one);
    let ((wrote, _one), _) = asleep_until(write, || assert_eq!(other.read(&mut [0; 4096]).unwrap(), 4096));
    assert_eq!(wrote.unwrap(), 4);

    // Each waits for room for its own message: a long one does not keep a short one waiting.
    let (mut one, mut other) = Seqpacket::pair(&Options::new()).unwrap();
    let mut short = one.try_clone().unwrap();
    one.set_nonblocking(true).unwrap();
    while one.send(&[1; 1000]).is_ok() {}
    one.set_nonblocking(false).unwrap();
    let (long, _) = asleep_until(
        move || one.send(&[2; 150_000]).map(|len| (len, one)),
        || {
            let (sent, _) = asleep_until(
                move || short.send(&[3; 100]),
                || assert_eq!(other.recv(&mut [0; 1000]).unwrap(), 1000),
            );
            assert_eq!(sent.unwrap(), 100);
            while other.recv(&mut [0; 200_000]).unwrap() != 150_000 {}
        },
    );
    assert_eq!(long.unwrap().0, 150_000);
}

/// What a child's wait for two bytes comes to after handlers with SA_RESTART and stops, and then after one without.
fn signals(whose: &str, mut wait: impl FnMut() -> io::Result<usize>, send: impl FnOnce()) {
    let mut child = fork(|link| {
        interruptible();
        restartable();
        link.say(0);
        loop {
            match wait() {
                Ok(len) => link.say(len as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => link.say(1000),
                Err(error) => panic!("{error}"),
            }
        }
    });
    child.hear();
    for _ in 0..3 {
        nap(&child);
        child.send(Signal::SIGUSR2);
        nap(&child);
        child.send(Signal::SIGSTOP);
        until("it is stopped", || !child.sleeps());
        child.send(Signal::SIGCONT);
    }
    nap(&child);
    send();
    assert_eq!(child.hear(), 2, "{whose}: a handler with SA_RESTART ends no call, a stop neither");
    assert_eq!(child.interrupted(), 1000, "{whose}: a handler without does");
    child.kill();
}

fn signals_to_a_reader<P: Streams>() {
    let (mut one, mut other) = P::pair();
    signals(P::WHOSE, || one.read(&mut [0; 9]), || other.write_all(b"ab").unwrap());
}

#[test]
fn a_wait_ends_with_eintr_if_and_only_if_the_kernels_would() {
    let _alone = alone();
    signals_to_a_reader::<Kernels>();
    signals_to_a_reader::<Ours>();
    let (mut one, mut other) = Seqpacket::pair(&Options::new()).unwrap();
    signals("seqpacket", || one.recv(&mut [0; 9]), || assert_eq!(other.send(b"ab").unwrap(), 2));
    let (mut one, mut other) = Datagram::pair(&Options::new()).unwrap();
    signals("datagram", || one.recv(&mut [0; 9]), || assert_eq!(other.send(b"ab").unwrap(), 2));
}

#[test]
fn a_wait_ends_with_eagain_after_the_time_out_of_the_open_end() {
    let _alone = alone();
    let time = Duration::from_millis(30);
    let (mut one, _other) = Stream::pair(&Options::new()).unwrap();
    fill(&mut one);
    let mut clone = one.try_clone().unwrap();
    one.set_read_timeout(Some(time)).unwrap();
    one.set_write_timeout(Some(time)).unwrap();
    // It is the socket's, not the handle's, and a forked child's, too.
    let child = fork(|_| {
        for _ in 0..2 {
            let start = Instant::now();
            assert_eq!(errno(clone.read(&mut [0])), libc::EAGAIN);
            assert!(start.elapsed() >= time);
        }
        let start = Instant::now();
        assert_eq!(errno(clone.write(b"more")), libc::EAGAIN);
        assert!(start.elapsed() >= time);
        clone.set_read_timeout(None).unwrap();
    });
    child.join();
    let (read, _) = asleep_until(move || one.read(&mut [0]), || drop(_other));
    assert_eq!(errno(read), libc::ECONNRESET);
    assert_eq!(errno(clone.set_read_timeout(Some(Duration::ZERO))), libc::EINVAL);

    let dir = scratch();
    let listener = SeqpacketListener::bind(dir.0.join("a"), &Options::new()).unwrap();
    listener.set_timeout(Some(time)).unwrap();
    assert_eq!(errno(listener.accept().map(drop)), libc::EAGAIN);
    let mut socket = Datagram::bind(dir.0.join("b"), &Options::new()).unwrap();
    socket.set_read_timeout(Some(time)).unwrap();
    let start = Instant::now();
    assert_eq!(errno(socket.recv(&mut [0])), libc::EAGAIN);
    assert!(start.elapsed() >= time);
}

#[test]
fn a_datagram_sockets_file_is_known_as_what_it_is() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("a");
    let receiver = Datagram::bind(&path, &Options::new().send_buffer(5000)).unwrap();
    let look = || {
        let listed = slipring::stat_file(&path).unwrap();
        (listed.in_use, listed.info.unwrap())
    };
    let (in_use, info) = look();
    // As much as both pages of its send buffer less 32.
    assert_eq!((in_use, info.kind, info.max_len, info.used_bytes), (true, "socket", 2 * 4096 - 32, 0));
    assert_eq!(Datagram::unbound(&Options::new()).unwrap().send_to(&[1; 13], &path).unwrap(), 13);
    // A word of 8, no name, and 13 bytes, rounded up to 24.
    assert_eq!(look().1.used_bytes, 24);
    drop(receiver);
    assert!(!look().0);
}

#[test]
fn a_message_longer_than_what_is_free_at_the_end_arrives_whole() {
    let _alone = alone();
    let (mut one, mut other) = Seqpacket::pair(&Options::new()).unwrap();
    let sender = std::thread::spawn(move || {
        for i in 0..300_u64 {
            one.send(&common::numbered(i, 200_000)).unwrap();
        }
    });
    let mut buffer = vec![0; 200_000];
    for i in 0..300 {
        let message = other.recv_message(&mut buffer).unwrap().unwrap();
        assert!(!message.is_truncated());
        assert_eq!(common::number_of(&buffer[..message.len], 200_000), i);
    }
    sender.join().unwrap();
    assert_eq!(other.recv_message(&mut buffer).unwrap(), None);
}

// --- hang-up: the last one, in any process ---

fn hang_up<P: Streams>(dies: bool) -> Duration {
    let (mut one, other) = P::pair();
    let mut other = Some(other);
    one.write_all(b"a").unwrap();
    let (tether, held) = common::tether();
    let mut held = Some(held);
    let mut mine = Some(one);
    let mut child = fork(|link| {
        drop((mine.take(), held.take()));
        let mut other = other.take().unwrap();
        assert_eq!(other.read(&mut [0; 9]).unwrap(), 1, "it reads with what it inherited");
        other.write_all(b"b").unwrap();
        link.say(1);
        common::wait_for_end(&tether);
        drop(other);
    });
    child.hear();
    drop(other);
    let mut one = mine.unwrap();
    assert_eq!(one.read(&mut [0; 9]).unwrap(), 1);
    let ((read, one), time) = asleep_until(
        move || (one.read(&mut [0; 9]), one),
        || {
            if dies {
                child.shoot();
            }
            drop(held);
        },
    );
    assert_eq!(read.unwrap(), 0, "the end, only when the child's end is gone");
    let mut one = one;
    assert_eq!(errno(one.write(b"c")), libc::EPIPE, "and nobody to write to");
    time
}

#[test]
fn the_end_comes_with_the_last_holder_in_any_process() {
    let _alone = alone();
    for dies in [false, true] {
        println!("kernel: {:.1?}", hang_up::<Kernels>(dies));
        common::soon(&format!("killed: {dies}"), || hang_up::<Ours>(dies));
    }
}

#[test]
fn a_sender_that_waits_hears_that_the_receiver_was_killed() {
    let _alone = alone();
    let (one, other) = Stream::pair(&Options::new()).unwrap();
    let (mut one, mut other) = (Some(one), Some(other));
    let mut child = fork(|link| {
        drop(one.take());
        link.say(1);
        std::thread::sleep(Duration::from_secs(1000));
    });
    child.hear();
    drop(other.take());
    let mut one = one.unwrap();
    fill(&mut one);
    let ((wrote, mut one), time) = asleep_until(move || (one.write(b"more"), one), || child.shoot());
    println!("after {time:.1?}");
    assert!(time < BOUND);
    // As the kernel has it: the one who waited hears what became of what it sent before.
    assert_eq!(errno(wrote), libc::ECONNRESET);
    assert_eq!(errno(one.write(b"more")), libc::EPIPE);
    assert_eq!(one.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_killed_receiver_breaks_sends_that_find_room() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("a");
    let (one, other) = Seqpacket::pair(&Options::new()).unwrap();
    let (mut other, mut one) = (Some(other), one);
    let mut child = fork(|link| {
        let receiver = Datagram::bind(&path, &Options::new()).unwrap();
        link.say(1);
        std::thread::sleep(Duration::from_secs(1000));
        drop(receiver);
    });
    child.hear();
    drop(other.take());
    let mut sender = Datagram::unbound(&Options::new()).unwrap();
    sender.connect(&path).unwrap();
    assert_eq!((one.send(b"a").unwrap(), sender.send(b"a").unwrap()), (1, 1));
    child.kill();
    let start = Instant::now();
    let broken = |what: &str, send: &mut dyn FnMut() -> io::Result<usize>, first: i32, then: i32| {
        let mut error = 0;
        until(what, || {
            error = send().err().and_then(|error| error.raw_os_error()).unwrap_or(0);
            error != 0
        });
        assert_eq!((error, errno(send())), (first, then), "{what}");
    };
    broken("sequenced", &mut || one.send(b"b"), libc::ECONNRESET, libc::EPIPE);
    broken("datagram", &mut || sender.send(b"b"), libc::ECONNREFUSED, libc::ENOTCONN);
    println!("after {:.1?}", start.elapsed());
    assert!(start.elapsed() < BOUND);
    assert_eq!(errno(sender.send_to(b"c", &path)), libc::ECONNREFUSED);
}

// --- names, who is there, who is talked to ---

fn served<P: Streams>(path: &Path) {
    let listener = P::listen(path);
    // Whoever accepts has the connection, in whatever process the listener was made.
    let mut keep = Some(listener);
    let mut child = fork(|link| {
        let listener = keep.take().unwrap();
        link.say(0);
        for _ in 0..3 {
            let mut stream = P::accept(&listener);
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            stream.write_all(text.to_uppercase().as_bytes()).unwrap();
        }
    });
    child.hear();
    drop(keep);
    std::fs::metadata(path).unwrap();
    for _ in 0..3 {
        let mut stream = P::connect(path).unwrap();
        stream.write_all(b"hello").unwrap();
        // A half-close needs the type itself; both have it.
        let any: &mut dyn std::any::Any = &mut stream;
        match any.downcast_mut::<Stream>() {
            Some(ours) => ours.shutdown(Shutdown::Write).unwrap(),
            None => any.downcast_ref::<UnixStream>().unwrap().shutdown(Shutdown::Write).unwrap(),
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
    }
    child.join();
    assert_eq!(P::connect(path).map(drop).unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_server_in_another_process_answers_over_a_path() {
    let _alone = alone();
    let dir = scratch();
    served::<Kernels>(&dir.0.join("kernel"));
    served::<Ours>(&dir.0.join("slipring"));
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 2, "the names, and nothing else");
}

#[test]
fn each_side_knows_who_the_other_is() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("a");
    let listener = StreamListener::bind(&path, &Options::new()).unwrap();
    let parent = std::process::id();
    let mut child = fork(|link| {
        let stream = Stream::connect(&path, &Options::new()).unwrap();
        assert_eq!(stream.peer_cred().unwrap().pid as u32, parent);
        link.say(1);
        std::thread::sleep(Duration::from_secs(1000));
    });
    child.hear();
    let stream = listener.accept().unwrap();
    let peer = stream.peer_cred().unwrap();
    assert_eq!((peer.pid as u32, peer.uid), (child.pid(), geteuid().as_raw()));
    let (one, _other) = Seqpacket::pair(&Options::new()).unwrap();
    assert_eq!(one.peer_cred().unwrap().pid as u32, parent);
}

/// As another container would: with a /dev/shm and System V names of its own, and the directory of the socket.
#[test]
fn containers_that_share_a_directory_are_connected() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    let _alone = alone();
    let dir =
        common::Scratch(std::env::temp_dir().join(format!("slipring-test-{}-shared", std::process::id())));
    std::fs::create_dir(&dir.0).unwrap();
    let path = dir.0.join("a");
    let listener = StreamListener::bind(&path, &Options::new()).unwrap();
    let mut child = fork(|link| {
        let apart = unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC).and_then(|()| {
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
            mount(Some("none"), "/dev/shm", Some("tmpfs"), MsFlags::empty(), None::<&str>)
        });
        link.say(apart.is_ok().into());
        if apart.is_ok() {
            let mut stream = Stream::connect(&path, &Options::new()).unwrap();
            stream.write_all(b"from there").unwrap();
            let mut answer = [0; 9];
            assert_eq!(stream.read(&mut answer).unwrap(), 4);
            assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 0, "nothing is left");
        }
    });
    if child.hear() == 0 {
        println!("skipped: no right to make namespaces; run as root");
        return;
    }
    let mut stream = listener.accept().unwrap();
    let mut text = [0; 99];
    assert_eq!(stream.read(&mut text).unwrap(), 10);
    stream.write_all(b"back").unwrap();
    child.join();
}

/// Runs `work` as another user, in a child.
fn as_another(work: impl FnOnce()) -> Option<Child> {
    if !geteuid().is_root() {
        println!("skipped: only root can be somebody else; run as root");
        return None;
    }
    Some(fork(|link| {
        nix::unistd::setuid(Uid::from_raw(NOBODY)).unwrap();
        work();
        link.say(1);
    }))
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for path in [path.parent().unwrap(), path] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
}

#[test]
fn a_stranger_is_talked_to_only_if_that_is_asked_for() {
    let _alone = alone();
    let dir = scratch();
    let (shy, open) = (dir.0.join("shy"), dir.0.join("open"));
    let shy_listener = StreamListener::bind(&shy, &Options::new().nonblocking(true)).unwrap();
    let open_listener = StreamListener::bind(&open, &Options::new().strangers(true)).unwrap();
    open_to_all(&shy);
    open_to_all(&open);
    let (tether, held) = common::tether();
    let mut held = Some(held);
    let Some(mut child) = as_another(|| {
        drop(held.take());
        // To root everybody talks; whether root talks to this one is root's to say.
        let mut refused = Stream::connect(&shy, &Options::new()).unwrap();
        let mut stream = Stream::connect(&open, &Options::new()).unwrap();
        stream.write_all(b"hello").unwrap();
        assert_eq!(stream.read(&mut [0; 9]).unwrap(), 6);
        common::wait_for_end(&tether);
        assert_eq!(errno(refused.read(&mut [0; 9])), libc::ECONNRESET);
    }) else {
        return;
    };
    let mut stream = open_listener.accept().unwrap();
    assert_eq!(stream.peer_cred().unwrap().uid, NOBODY);
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 5);
    stream.write_all(b"answer").unwrap();
    assert_eq!(errno(shy_listener.accept().map(drop)), libc::EAGAIN, "closed, and the next looked for");
    drop(held);
    child.hear();
    child.join();

    // The other way round: a stranger listens.
    let theirs = dir.0.join("theirs");
    let (tether, held) = common::tether();
    let mut held = Some(held);
    let ready = Board::new(1);
    let Some(child) = as_another(|| {
        drop(held.take());
        let listener = SeqpacketListener::bind(&theirs, &Options::new()).unwrap();
        ready.set(0, 1);
        common::wait_for_end(&tether);
        drop(listener);
    }) else {
        return;
    };
    until("it listens", || ready.get(0) == 1);
    assert_eq!(errno(Seqpacket::connect(&theirs, &Options::new()).map(drop)), libc::EACCES);
    let mut stranger = Seqpacket::connect(&theirs, &Options::new().strangers(true)).unwrap();
    stranger.send(b"hello").unwrap();
    drop(held);
    child.join();
}

/// The memory that this process has of sockets, to be written at will.
fn shared_memory() -> Vec<(Board, usize)> {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    let rings = fds.filter_map(|entry| {
        let path = entry.unwrap().path();
        let leads_to = std::fs::read_link(&path).unwrap_or_default();
        leads_to.to_string_lossy().starts_with("/memfd:slipring").then_some(path)
    });
    let open = |path: std::path::PathBuf| {
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let words = file.metadata().unwrap().len() as usize / 8;
        (Board::of(&file, words), words)
    };
    rings.map(open).collect()
}

#[test]
fn a_hostile_peer_harms_its_own_connection_alone() {
    let _alone = alone();
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    for round in 0..20 {
        let (mut one, mut other) = Stream::pair(&Options::new()).unwrap();
        let (mut two, mut there) = Seqpacket::pair(&Options::new()).unwrap();
        let mut hostile = fork(|link| {
            let memory = shared_memory();
            assert!(memory.len() >= 4);
            link.say(1);
            for i in 0.. {
                let (board, words) = &memory[dice.below(memory.len() as u64) as usize];
                // Mostly what says where things are: the control lines behind the header, which is read once.
                let at = if i % 4 == 0 { dice.below(*words as u64) } else { 128 + dice.below(192) };
                board.flip(at as usize, dice.roll() & dice.roll());
                let (mut to, few) = ([0; 100], Duration::from_millis(1));
                if i % 1000 == 0 {
                    other.set_read_timeout(Some(few)).unwrap();
                    let _ = (other.read(&mut to), there.send(&to));
                }
            }
        });
        hostile.hear();
        let time = Duration::from_millis(20);
        one.set_read_timeout(Some(time)).unwrap();
        one.set_write_timeout(Some(time)).unwrap();
        two.set_read_timeout(Some(time)).unwrap();
        two.set_write_timeout(Some(time)).unwrap();
        let start = Instant::now();
        let (mut calls, mut longest) = (0_u64, Duration::ZERO);
        while calls == 0 || start.elapsed() < Duration::from_millis(100) {
            let call = Instant::now();
            let mut to = [0; 5000];
            for result in [one.write(&to), one.read(&mut to), two.send(&[0; 300]), two.recv(&mut to)] {
                assert!(result.is_err() || result.unwrap() <= 5000);
                calls += 1;
            }
            longest = longest.max(call.elapsed());
        }
        assert!(longest < BOUND, "round {round}: {longest:?}");
        assert!(calls > 0);
        hostile.kill();
        // Nothing else is in its reach.
        let (mut sound, mut peer) = Stream::pair(&Options::new()).unwrap();
        sound.write_all(b"sound").unwrap();
        assert_eq!(peer.read(&mut [0; 9]).unwrap(), 5);
    }
}

#[test]
fn who_connects_and_does_not_speak_keeps_nobody_waiting() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("a");
    let listener = StreamListener::bind(&path, &Options::new()).unwrap();
    let silent = UnixStream::connect(&path).unwrap();
    let mut babbler = UnixStream::connect(&path).unwrap();
    babbler.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut client = Stream::connect(&path, &Options::new()).unwrap();
    client.write_all(b"hello").unwrap();

    let mut first = listener.accept().unwrap();
    let mut second = listener.accept().unwrap();
    assert_eq!(second.read(&mut [0; 9]).unwrap(), 5, "whoever does not keep to the rules is passed over");
    assert_eq!(babbler.read(&mut [0; 9]).unwrap_or(0), 0, "and hung up on");
    first.set_nonblocking(true).unwrap();
    assert_eq!(errno(first.read(&mut [0])), libc::EAGAIN);
    first.set_nonblocking(false).unwrap();
    let (read, _) = asleep_until(move || (first.read(&mut [0]), first.write(b"x")), || drop(silent));
    assert_eq!(read.0.unwrap(), 0);
    assert_eq!(errno(read.1), libc::EPIPE);
}

// --- the handle ---

#[test]
fn nonblocking_is_said_of_the_open_end_not_of_the_handle() {
    let _alone = alone();
    let dir = scratch();
    let (one, mut other) = Stream::pair(&Options::new()).unwrap();
    let mut receiver = Datagram::bind(dir.0.join("a"), &Options::new()).unwrap();
    let mut clone = one.try_clone().unwrap();
    clone.set_nonblocking(true).unwrap();
    receiver.try_clone().unwrap().set_nonblocking(true).unwrap();
    let child = fork(|_| {
        assert_eq!(errno(clone.read(&mut [0; 9])), libc::EAGAIN);
        assert_eq!(errno(receiver.recv(&mut [0; 9])), libc::EAGAIN);
        clone.set_nonblocking(false).unwrap();
    });
    child.join();
    let (read, _) =
        asleep_until(move || clone.read(&mut [0; 9]), || assert_eq!(other.write(b"x").unwrap(), 1));
    assert_eq!(read.unwrap(), 1);
}

#[test]
fn what_one_process_shuts_is_shut_in_all() {
    let _alone = alone();
    let (mut one, mut other) = Stream::pair(&Options::new()).unwrap();
    one.write_all(b"last words").unwrap();
    let child = fork(|_| one.shutdown(Shutdown::Write).unwrap());
    child.join();
    assert_eq!(errno(one.write(b"x")), libc::EPIPE);
    let mut text = String::new();
    other.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words");
    other.write_all(b"go on").unwrap();
    assert_eq!(one.read(&mut [0; 9]).unwrap(), 5);
    let (read, _) = asleep_until(move || one.read(&mut [0; 9]), || other.shutdown(Shutdown::Both).unwrap());
    assert_eq!(read.unwrap(), 0, "also for who sleeps");
}

#[test]
fn descriptors_are_given_back() {
    let _alone = alone();
    let dir = scratch();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let used = |name: &str| {
        let path = dir.0.join(name);
        let listener: StreamListener = Listener::bind(&path, &Options::new()).unwrap();
        let mut client = Stream::connect(&path, &Options::new()).unwrap();
        let mut server = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(server.try_clone().unwrap().read(&mut [0; 9]).unwrap(), 1);
        server.write_all(b"y").unwrap();
        assert_eq!(client.read(&mut [0; 9]).unwrap(), 1);
        let receiver = dir.0.join(format!("{name}-datagram"));
        let mut receiving = Datagram::bind(&receiver, &Options::new()).unwrap();
        let mut sending = Datagram::unbound(&Options::new()).unwrap();
        sending.send_to(b"z", &receiver).unwrap();
        assert_eq!(receiving.recv(&mut [0; 9]).unwrap(), 1);
    };
    used("first");
    let before = open();
    (0..10).for_each(|i| used(&i.to_string()));
    assert_eq!(open(), before);
}

// --- datagrams ---

#[test]
fn many_senders_reach_one_receiver_each_in_its_order_and_nothing_is_lost() {
    let _alone = alone();
    const EACH: u64 = 3000;
    let dir = scratch();
    let path = dir.0.join("a");
    let mut receiver = Datagram::bind(&path, &Options::new().send_buffer(8192)).unwrap();
    let children: Vec<Child> = (0..3)
        .map(|me| {
            let path = path.clone();
            let own = dir.0.join(format!("sender-{me}"));
            fork(move |_| {
                // One with a name, to be told by; the small ring is full most of the time.
                let mut socket = Datagram::bind(own, &Options::new()).unwrap();
                for i in 0..EACH {
                    socket.send_to(&common::numbered(i, 2000), &path).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; 3];
    let mut buffer = [0; 2000];
    for _ in 0..3 * EACH {
        let message = receiver.recv_from(&mut buffer).unwrap().unwrap();
        let from = message.from.unwrap();
        let sender: usize = from.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        assert_eq!(common::number_of(&buffer[..message.len], 2000), next[sender]);
        next[sender] += 1;
    }
    assert_eq!(next, [EACH; 3]);
    children.into_iter().for_each(Child::join);
}

#[test]
fn a_receiver_is_there_as_long_as_any_process_has_it_open() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("a");
    let mut receiver = Some(Datagram::bind(&path, &Options::new()).unwrap());
    let (tether, held) = common::tether();
    let mut held = Some(held);
    let mut child = fork(|link| {
        drop(held.take());
        let mut receiver = receiver.take().unwrap();
        assert_eq!(receiver.recv(&mut [0; 9]).unwrap(), 3);
        link.say(1);
        common::wait_for_end(&tether);
        drop(receiver);
    });
    drop(receiver.take());
    let mut sender = Datagram::unbound(&Options::new()).unwrap();
    assert_eq!(sender.send_to(b"one", &path).unwrap(), 3);
    child.hear();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(&[0; 1000], &path).is_ok() {}
    sender.set_nonblocking(false).unwrap();
    let there = path.clone();
    let (sent, time) = asleep_until(
        move || sender.send_to(&[0; 1000], &there),
        || {
            drop(held);
            child.join();
        },
    );
    println!("after {time:.1?}");
    assert_eq!(errno(sent), libc::ECONNREFUSED, "also for who waits for room");
    assert_eq!(errno(Datagram::bind(&path, &Options::new()).map(drop)), libc::EADDRINUSE, "the name stays");
}

#[test]
fn what_is_no_datagram_socket_is_told_from_one_where_nobody_is() {
    let _alone = alone();
    let dir = scratch();
    let mut sender = Datagram::unbound(&Options::new()).unwrap();
    let (socket, file, missing) = (dir.0.join("socket"), dir.0.join("file"), dir.0.join("missing"));
    let _listener = StreamListener::bind(&socket, &Options::new()).unwrap();
    std::fs::write(&file, "text").unwrap();
    let theirs = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for (path, expected) in [
        (&socket, libc::EPROTOTYPE),
        (&file, libc::ECONNREFUSED),
        (&missing, libc::ENOENT),
        (&dir.0, libc::ECONNREFUSED),
    ] {
        assert_eq!(errno(theirs.send_to(b"x", path)), expected, "the kernel: {}", path.display());
        assert_eq!(errno(sender.send_to(b"x", path)), expected, "{}", path.display());
        assert_eq!(errno(sender.connect(path)), expected, "{}", path.display());
    }
    let long = dir.0.join("x".repeat(108));
    assert_eq!(errno(Datagram::bind(long, &Options::new()).map(drop)), libc::ENAMETOOLONG);
    assert_eq!(errno(Seqpacket::connect(&socket, &Options::new()).map(drop)), libc::EPROTOTYPE);
}

// --- deaths at random moments ---

const KILLS: usize = 150;

/// Senders are killed again and again, wherever they are, with the right to write or without.
#[test]
fn killed_senders_leave_whole_messages_or_none_and_hang_nobody() {
    let _alone = alone();
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let dir = scratch();
    let path = dir.0.join("a");
    let mut receiver = Datagram::bind(&path, &Options::new().send_buffer(16_384)).unwrap();
    // How many each has said that it sent.
    let said = Board::new(KILLS + 3);
    let start = |me: usize| {
        let path = path.clone();
        let said = &said;
        fork(move |_| {
            let mut socket = Datagram::unbound(&Options::new()).unwrap();
            for i in 0.. {
                let mut message = vec![me as u8];
                message.extend(common::numbered(i, 3000));
                socket.send_to(&message, &path).unwrap();
                said.set(me, i + 1);
            }
        })
    };
    let mut children: Vec<Child> = (0..3).map(start).collect();
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut came = vec![0; KILLS + 3];
    let mut buffer = [0; 4000];
    let mut receive = |receiver: &mut Datagram| {
        let len = receiver.recv(&mut buffer)?;
        let me = usize::from(buffer[0]);
        assert_eq!(common::number_of(&buffer[1..len], 3000), came[me], "sender {me}");
        came[me] += 1;
        Ok::<_, io::Error>(())
    };
    for victim in 0..KILLS {
        for _ in 0..dice.below(40) {
            receive(&mut receiver).unwrap();
        }
        std::mem::replace(&mut children[victim % 3], start(victim + 3)).kill();
    }
    // Those that are left may wait for room; nobody may be stuck behind a dead one.
    for _ in 0..100 {
        receive(&mut receiver).unwrap();
    }
    children.into_iter().for_each(Child::kill);
    receiver.set_nonblocking(true).unwrap();
    while receive(&mut receiver).is_ok() {}
    let all: u64 = came.iter().sum();
    for (me, &came) in came.iter().enumerate() {
        let said = said.get(me);
        assert!(came == said || came == said + 1, "sender {me} said {said}, {came} came");
    }
    println!("{all} messages of {} senders", came.len());
    assert!(all > 100);
}

/// One side is killed wherever it is; the other reads all that was sent, whole and in order, and hears of the end.
#[test]
fn a_peer_killed_at_any_moment_leaves_a_prefix_and_an_end() {
    let _alone = alone();
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let sent = Board::new(1);
    let mut times = Vec::new();
    for round in 0..60 {
        let (one, other) = Seqpacket::pair(&Options::new().send_buffer(16_384)).unwrap();
        let (mut one, mut other) = (Some(one), Some(other));
        let child_sends = round % 2 == 0;
        sent.set(0, 0);
        let child = fork(|_| {
            drop(one.take());
            let mut socket = other.take().unwrap();
            let mut buffer = [0; 3000];
            for i in 0.. {
                if child_sends {
                    socket.send(&common::numbered(i, 3000)).unwrap();
                } else {
                    let len = socket.recv(&mut buffer).unwrap();
                    assert_eq!(common::number_of(&buffer[..len], 3000), i);
                }
                sent.set(0, i + 1);
            }
        });
        drop(other);
        let mut socket = one.unwrap();
        let (kill, when) = (std::time::Instant::now(), Duration::from_micros(dice.below(20_000)));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(when.saturating_sub(kill.elapsed()));
            child.kill();
            Instant::now()
        });
        let mut buffer = [0; 3000];
        let mut moved = 0;
        let end = loop {
            let done = match child_sends {
                true => socket.recv_message(&mut buffer).map(|message| message.map(|message| message.len)),
                false => socket.send(&common::numbered(moved, 3000)).map(Some),
            };
            match done {
                Ok(Some(len)) if child_sends => assert_eq!(common::number_of(&buffer[..len], 3000), moved),
                Ok(Some(_)) => {}
                Ok(None) => break 0,
                Err(error) => break error.raw_os_error().unwrap(),
            }
            moved += 1;
        };
        let heard = Instant::now();
        times.push(heard.saturating_duration_since(killer.join().unwrap()));
        let said = sent.get(0);
        match child_sends {
            true => assert!(end == 0 && (moved == said || moved == said + 1), "{end}: {moved} of {said}"),
            false => assert!([libc::EPIPE, libc::ECONNRESET].contains(&end) && moved >= said, "{end}"),
        }
    }
    times.sort();
    println!("heard after {:.1?}, at most {:.1?}", times[times.len() / 2], times[times.len() - 1]);
    assert!(times[times.len() - 1] < BOUND);
}

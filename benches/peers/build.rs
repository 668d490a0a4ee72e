//! Looks for what a distribution may have installed: Boost's headers and ZeroMQ. What is not there is not measured, and
//! its rows say so; nothing is downloaded or built for it.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(boost, zeromq)");
    println!("cargo::rerun-if-changed=native");
    let boost = boost();
    let zeromq =
        pkg_config::Config::new().atleast_version("4.2").probe("libzmq").ok().map(|found| found.version);
    for (name, variable, version) in
        [("boost", "SLIPRING_PEERS_BOOST", boost), ("zeromq", "SLIPRING_PEERS_ZEROMQ", zeromq)]
    {
        println!("cargo::rustc-env={variable}={}", version.as_deref().unwrap_or_default());
        if version.is_some() {
            println!("cargo::rustc-cfg={name}");
        }
    }
}

/// Its version, after the helper has been compiled; none without a C++ compiler or without its headers.
fn boost() -> Option<String> {
    let quiet = || {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").warnings(false).cargo_warnings(false);
        build
    };
    let text = String::from_utf8(quiet().file("native/boost_version.cpp").try_expand().ok()?).ok()?;
    // Line markers may stand between the name and its value.
    let (_, rest) = text.rsplit_once("slipring_peers_boost_version")?;
    let rest: String = rest.lines().filter(|line| !line.starts_with('#')).collect();
    let version = rest.split('"').nth(1)?.replace('_', ".");
    quiet().file("native/boost_queue.cpp").try_compile("slipring_peers_boost").ok()?;
    Some(version)
}

//! From what a command line gave to what each module wants: checked once, here, and nowhere again.
//!
//! Nothing below `main` imports this module. The checks that look at more than one option are those
//! of options, section 2, "Cross checks after parsing", with memcached's messages.
#![forbid(unsafe_code)]

mod chunks;
mod listen;
mod login;
mod tls;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::extended::Extended;
use crate::cli::flags::State;
use crate::cli::usage::PROTOCOL_LEVEL;
use crate::cli::{Given, Protocol, UsageError};
use crate::limits::{ITEM_SIZE_MAX, ITEM_SIZE_MIN, MEMORY_MIN_BYTES, WATCH_MEMORY_PART};
use crate::server::{Listen, Port, StartError, process};
use crate::{auth, server, session, store, watch};
use login::Login;

/// Everything that a server is started with.
#[derive(Debug)]
pub struct Config {
    /// The items.
    pub store: store::Options,
    /// Lines for clients that watch.
    pub watch: watch::Options,
    /// What clients may do, and what `stats settings` shows.
    pub session: session::Options,
    /// Sockets and threads.
    pub server: server::Options,
    /// Who may log in; None: nobody has to.
    pub auth: Option<auth::Options>,
    /// Certificates (`-Z`).
    pub tls: Option<crate::tls::Options>,
    /// The nodes of the cluster (`--cluster-file`).
    pub cluster_file: Option<PathBuf>,
    /// The process itself.
    pub process: Process,
    /// Lines for the log, as warnings, once there is one.
    pub warnings: Vec<String>,
}

/// What the process does with itself before it serves.
#[derive(Debug, PartialEq, Eq)]
pub struct Process {
    /// `-d`
    pub daemon: bool,
    /// With `-d`: standard output and error stay open (`-v`).
    pub keep_stdio: bool,
    /// With `-d`: the working directory stays (`-r`, or the core could not be written).
    pub keep_cwd: bool,
    /// `-r`
    pub core_dumps: bool,
    /// Its memory is nobody's business: no core, no debugger but root's. It has secrets, and `-r` is not
    /// given.
    pub keep_to_itself: bool,
    /// `-k`
    pub lock_memory: bool,
    /// Files that must be able to be open at a time.
    pub open_files: u64,
    /// Of those, how many are for connections: with fewer the server does not start.
    pub connections: u64,
    /// What is logged at the start; RUST_LOG overrides it, the `verbosity` command changes it.
    pub log_level: log::LevelFilter,
}

impl Process {
    /// Does all of it, in memcached's order (options, section 8). `drop_to` is only looked up: the
    /// server becomes that user later, but a wrong name is to be told before a daemon is.
    pub fn apply(&self, drop_to: Option<&str>) -> Result<(), StartError> {
        if self.core_dumps {
            process::enable_core_dumps()?;
        }
        if self.keep_to_itself {
            process::keep_to_itself();
        }
        process::raise_open_files(self.open_files, self.connections)?;
        drop_to.map(process::find_user).transpose()?;
        if self.daemon {
            process::daemonize(self.keep_stdio, self.keep_cwd)?;
        }
        if self.lock_memory {
            process::lock_memory(drop_to.is_some());
        }
        Ok(())
    }
}

/// What the surroundings of the process say.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `MEMCACHED_PORT_FILENAME`
    pub port_file: Option<OsString>,
    /// Whether the process runs as root.
    pub root: bool,
    /// `MEMCACHED_SASL_PWDB`
    pub sasl_passwords: Option<OsString>,
    /// Whether `SASL_CONF_PATH` is set.
    pub sasl_configuration: bool,
    /// Of this machine.
    pub hostname: String,
    /// CPUs that the process may use, at least 1.
    pub cpus: usize,
}

impl Environment {
    /// Asks the surroundings. The count of CPUs is bounded by the affinity mask and by the CPU
    /// quota of the cgroup (`cpu.max`, or `cpu.cfs_quota_us` of version 1), both of which the
    /// standard library looks at.
    pub fn read() -> Environment {
        Environment {
            port_file: std::env::var_os(PORT_FILE).filter(|name| !name.is_empty()),
            sasl_passwords: std::env::var_os(SASL_PASSWORDS).filter(|name| !name.is_empty()),
            sasl_configuration: std::env::var_os(SASL_CONFIGURATION).is_some(),
            hostname: process::hostname(),
            root: process::is_root(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

const PORT_FILE: &str = "MEMCACHED_PORT_FILENAME";

const SASL_PASSWORDS: &str = "MEMCACHED_SASL_PWDB";

const SASL_CONFIGURATION: &str = "SASL_CONF_PATH";

/// The variables that memcached reads (options, section 5), and what becomes of them. Those that
/// only its test suite reads are not among them.
pub const VARIABLES: &[(&str, State)] = &[
    (PORT_FILE, State::Works),
    ("MEMCACHED_HASH_BULK_MOVE", State::NoEffect),
    (SASL_PASSWORDS, State::Works),
    (SASL_CONFIGURATION, State::NoEffect),
    ("T_MEMD_INITIAL_MALLOC", State::NoEffect),
    ("RUST_LOG", State::Works),
];

/// memcached's default port.
const PORT_DEFAULT: i64 = 11211;

/// Most `-t`. memcached knows no bound and warns above 64; past this a typing error is more likely
/// than a machine.
const THREADS_MAX: usize = 1024;

/// `-t` above which memcached warns.
const THREADS_ADVISED: usize = 64;

/// Open files beside those of connections: standard streams, log, epoll instances, signals,
/// listeners; and a few for each thread.
const OPEN_FILES_FIXED: u64 = 64;
const OPEN_FILES_PER_THREAD: u64 = 4;

// The default of -I fits the smallest -m, so that it never needs to be lowered.
const _: () = assert!(1 << 20 <= MEMORY_MIN_BYTES / 2);

impl Config {
    /// Checks what was given and works out the rest.
    pub fn new(given: &Given, environment: &Environment) -> Result<Config, UsageError> {
        let threads = threads(given, environment)?;
        let memory_bytes = memory_bytes(given)?;
        let item_size_max = item_size_max(given, memory_bytes)?;
        check_extended(given)?;
        let ports = Ports { tcp: port(given)?, udp: port_of(given.udp_port)? };
        let inter = inter(given);
        let mut listen = listen(inter.as_deref(), given.tls)?;
        let tls = tls::options(given, ports.tcp)?;
        let login = Login::of(given, ports)?;
        let mut warnings = warnings(given, environment, threads, ports, login);
        if let Some(login) = login {
            warnings.extend(login.warnings(given, environment));
            for one in &mut listen {
                let checked = login.check_listener(one).map_err(|complaint| {
                    not_listened(&complaint, inter.as_deref().unwrap_or_default())
                })?;
                warnings.extend(checked);
            }
        }
        Ok(Config {
            store: store::Options {
                memory_bytes,
                item_size_max,
                growth_factor: given.growth_factor,
                chunk_space_min: chunk_space_min(given, item_size_max)?,
                evictions: given.evictions,
                cas: given.cas,
                large_pages: given.large_pages,
                crawler: given.extended.tuning.lru_crawler,
                automove: given.extended.tuning.slab_reassign
                    && given.extended.tuning.slab_automove > 0,
                temporary_ttl: tunables(given).ttl_of_temporary_items(),
                track_sizes: given.extended.tuning.track_sizes,
                threads,
            },
            watch: watch::Options { backlog_bytes: watch_backlog_bytes(given, memory_bytes) },
            session: session_options(given, threads, item_size_max, ports, inter, login),
            server: server_options(given, environment, threads, ports, listen, login),
            auth: login.map(|login| login.options(given, environment)),
            process: process_options(given, threads, login.is_some() || tls.is_some()),
            tls,
            cluster_file: given.cluster_file.clone(),
            warnings,
        })
    }
}

/// `-p` and `-U`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ports {
    tcp: Port,
    udp: Port,
}

const NO_PORTS: Ports = Ports { tcp: Port::Off, udp: Port::Off };

impl From<UsageError> for StartError {
    fn from(error: UsageError) -> StartError {
        StartError { message: error.message, exit_code: error.exit_code }
    }
}

fn threads(given: &Given, environment: &Environment) -> Result<usize, UsageError> {
    let threads = given.threads.map_or(environment.cpus, |threads| threads as usize);
    if threads > THREADS_MAX {
        return Err(UsageError::usage(format!("-t {threads}: more than {THREADS_MAX} threads")));
    }
    match given.napi_ids {
        Some(ids) if ids as usize > threads => Err(UsageError::usage(format!(
            "Number of napi_ids({ids}) cannot be greater than number of threads({threads})"
        ))),
        _ => Ok(threads),
    }
}

/// `-m` in bytes.
fn memory_bytes(given: &Given) -> Result<usize, UsageError> {
    let least = MEMORY_MIN_BYTES >> 20;
    let bytes = usize::try_from(given.memory_mib).ok().and_then(|mib| mib.checked_mul(1 << 20));
    match bytes {
        Some(bytes) if bytes >= MEMORY_MIN_BYTES => Ok(bytes),
        _ => Err(UsageError::usage(format!(
            "-m {}: must be a number of megabytes, at least {least}",
            given.memory_mib
        ))),
    }
}

/// `-I` in bytes. memcached also wants it to be a multiple of the largest chunk; here that is so
/// only if somebody says what the largest chunk is.
fn item_size_max(given: &Given, memory_bytes: usize) -> Result<usize, UsageError> {
    let size = usize::try_from(given.item_size_max).unwrap_or(0);
    if size < ITEM_SIZE_MIN {
        return Err(UsageError::usage("Item max size cannot be less than 1024 bytes."));
    }
    if size > memory_bytes / 2 {
        return Err(UsageError::usage("Cannot set item size limit higher than 1/2 of memory max."));
    }
    if size > ITEM_SIZE_MAX {
        return Err(UsageError::usage("Cannot set item size limit higher than a gigabyte."));
    }
    Ok(size)
}

/// `-n`: the smallest chunk has to hold less than the largest item.
fn chunk_space_min(given: &Given, item_size_max: usize) -> Result<usize, UsageError> {
    let space = given.chunk_space_min as usize;
    if space > item_size_max / 2 {
        return Err(UsageError::usage(format!(
            "-n {space}: more than half of the largest item (-I)"
        )));
    }
    Ok(space)
}

/// Checks that look at more than one option of `-o`.
fn check_extended(given: &Given) -> Result<(), UsageError> {
    let Extended { slab_chunk_max, slab_sizes, hot_lru_pct, warm_lru_pct, .. } = &given.extended;
    let item_size = given.item_size_max;
    if let Some(chunk) = slab_chunk_max {
        chunks::check_max(*chunk, item_size)?;
    }
    if let Some(sizes) = slab_sizes {
        let largest = slab_chunk_max.unwrap_or(chunks::MAX_DEFAULT);
        chunks::check_sizes(sizes, given.chunk_space_min.into(), largest)?;
    }
    if hot_lru_pct + warm_lru_pct > 80 {
        return Err(UsageError::usage(
            "hot_lru_pct + warm_lru_pct cannot be more than 80% combined",
        ));
    }
    if given.extended.tuning.temporary_ttl.is_some() && !given.extended.lru_maintainer {
        return Err(UsageError::usage("temporary_ttl requires lru_maintainer to be enabled"));
    }
    Ok(())
}

/// `-p`. As in memcached, a `-U` that is not 0 also sets the TCP port if `-p` does not.
fn port(given: &Given) -> Result<Port, UsageError> {
    let default = if given.udp_port != 0 { given.udp_port } else { PORT_DEFAULT };
    port_of(given.port.unwrap_or(default))
}

fn port_of(number: i64) -> Result<Port, UsageError> {
    match number {
        0 => Ok(Port::Off),
        -1 => Ok(Port::Any),
        port => match u16::try_from(port) {
            Ok(port) => Ok(Port::Number(port)),
            Err(_) => Err(UsageError::usage(format!("ERROR: Invalid port number {port}."))),
        },
    }
}

/// The number that `stats settings` shows.
fn port_shown(port: Port) -> i32 {
    match port {
        Port::Number(port) => port.into(),
        Port::Off => 0,
        Port::Any => -1,
    }
}

/// All `-l` as one list, without those that are there already.
fn inter(given: &Given) -> Option<String> {
    let mut lists: Vec<&str> = Vec::new();
    for list in &given.listen {
        if !lists.contains(&list.as_str()) {
            lists.push(list);
        }
    }
    (!lists.is_empty()).then(|| lists.join(","))
}

fn listen(inter: Option<&str>, has_tls: bool) -> Result<Vec<Listen>, UsageError> {
    let Some(list) = inter else { return Ok(Vec::new()) };
    listen::parse_list(list, has_tls).map_err(|complaint| not_listened(&complaint, list))
}

/// Why the addresses of `-l` cannot be listened on.
fn not_listened(complaint: &str, list: &str) -> UsageError {
    /// `EX_OSERR` of sysexits.h, which memcached leaves when it cannot listen.
    const EX_OSERR: u8 = 71;
    UsageError {
        message: format!("{complaint}\nfailed to listen on one of interface(s) {list}"),
        exit_code: EX_OSERR,
    }
}

/// `-b`. The kernel takes a negative backlog for a very large one, and lowers it to its own bound.
fn backlog(given: &Given) -> u32 {
    u32::try_from(given.backlog).unwrap_or(i32::MAX as u32).min(i32::MAX as u32)
}

/// `-o watcher_logbuf_size`, as far as it is a part of `-m`. The hub has the other bounds.
fn watch_backlog_bytes(given: &Given, memory_bytes: usize) -> usize {
    let asked = usize::try_from(given.extended.watcher_logbuf_bytes).unwrap_or(usize::MAX);
    asked.min(memory_bytes / WATCH_MEMORY_PART)
}

fn session_options(
    given: &Given,
    threads: usize,
    item_size_max: usize,
    ports: Ports,
    inter: Option<String>,
    login: Option<Login>,
) -> session::Options {
    let user_file = given.extended.user_file.as_deref();
    let text_file = user_file.filter(|_| login.is_some_and(|login| login.text));
    let auth_file = given.auth_file.as_deref().or(text_file);
    let domain_socket = given.unix_socket.as_deref();
    session::Options {
        version: PROTOCOL_LEVEL.to_owned(),
        max_connections: given.connections_max.into(),
        tcp_port: port_shown(ports.tcp),
        udp_port: port_shown(ports.udp),
        inter,
        domain_socket: domain_socket.map(|path| path.to_string_lossy().into_owned()),
        unix_mask: given.unix_mask,
        shutdown: given.shutdown,
        flush: given.flush,
        dump: given.dump,
        watch: given.watch,
        threads: threads as u64,
        prefix_delimiter: given.prefix_delimiter.unwrap_or(':'),
        detail: given.prefix_delimiter.is_some(),
        requests_per_turn: given.requests_per_event,
        backlog: backlog(given),
        login: login.is_some(),
        sasl: login.is_some_and(|login| login.sasl),
        auth_file: auth_file.map(|path| path.to_string_lossy().into_owned()),
        binding_protocol: match protocol(given, login) {
            session::Protocol::Auto => "auto-negotiate",
            session::Protocol::Ascii => "ascii",
            session::Protocol::Binary => "binary",
        },
        maxconns_fast: given.extended.maxconns_fast,
        maxconns_per_address: given.extended.maxconns_per_address,
        idle_timeout_secs: given.extended.idle_timeout_secs,
        debug_clock: given.extended.debug_clock,
        growth_factor: given.growth_factor,
        chunk_size: given.chunk_space_min.into(),
        item_size_max: item_size_max as u64,
        cas: given.cas,
        evictions: given.evictions,
        verbosity: given.verbosity,
        tunables: tunables(given),
    }
}

/// What `stats settings` shows of settings that most of are without effect.
fn tunables(given: &Given) -> session::Tunables {
    let Extended { tuning, lru_maintainer, .. } = &given.extended;
    let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let bytes = |number: i64, unit: u64| u64::try_from(number).unwrap_or(0).saturating_mul(unit);
    let ttl = tuning.temporary_ttl.map(|ttl| i32::try_from(ttl).unwrap_or(i32::MAX));
    session::Tunables {
        hashpower_init: small(tuning.hashpower),
        slab_reassign: tuning.slab_reassign,
        slab_automove: small(tuning.slab_automove),
        slab_automove_ratio: tuning.slab_automove_ratio,
        slab_automove_window: small(tuning.slab_automove_window),
        lru_crawler_sleep: small(tuning.lru_crawler_sleep),
        lru_crawler_tocrawl: small(tuning.lru_crawler_tocrawl),
        tail_repair_time: bytes(tuning.tail_repair_time, 1),
        lru_maintainer: *lru_maintainer,
        lru_segmented: tuning.lru_segmented,
        hot_lru_pct: small(given.extended.hot_lru_pct),
        warm_lru_pct: small(given.extended.warm_lru_pct),
        hot_max_factor: tuning.hot_max_factor,
        warm_max_factor: tuning.warm_max_factor,
        temp_lru: ttl.is_some(),
        temporary_ttl: ttl.unwrap_or(session::Tunables::default().temporary_ttl),
        worker_logbuf_size: bytes(tuning.worker_logbuf_kib, 1 << 10),
        read_buf_mem_limit: bytes(tuning.read_buf_mem_limit_mib, 1 << 20),
        num_napi_ids: given.napi_ids.unwrap_or(0),
        ..session::Tunables::default()
    }
}

fn server_options(
    given: &Given,
    environment: &Environment,
    threads: usize,
    ports: Ports,
    listen: Vec<Listen>,
    login: Option<Login>,
) -> server::Options {
    // A Unix socket replaces all others.
    let (ports, listen) = match given.unix_socket {
        Some(_) => (NO_PORTS, Vec::new()),
        None => (ports, listen),
    };
    server::Options {
        listen,
        port: ports.tcp,
        udp_port: ports.udp,
        udp_public: given.extended.udp_public,
        unix_socket: given.unix_socket.clone(),
        unix_mask: given.unix_mask,
        protocol: protocol(given, login),
        backlog: backlog(given),
        threads,
        connections_max: given.connections_max as usize,
        requests_per_turn: given.requests_per_event,
        maxconns_fast: given.extended.maxconns_fast,
        maxconns_per_address: given.extended.maxconns_per_address,
        idle_timeout_secs: given.extended.idle_timeout_secs,
        deadlines: server::Deadlines {
            request_secs: given.extended.request_timeout_secs,
            upload_secs: given.extended.upload_timeout_secs,
            send_secs: given.extended.send_timeout_secs,
            login_secs: given.extended.login_timeout_secs,
        },
        port_file: environment.port_file.clone().map(PathBuf::from),
        pid_file: given.pid_file.clone(),
        remove_pid_file: given.daemon,
        drop_to: user(given).filter(|_| environment.root).map(str::to_owned),
        certificates: None,
    }
}

/// What clients may speak where their listener does not say.
fn protocol(given: &Given, login: Option<Login>) -> session::Protocol {
    let protocol = match given.protocol {
        None | Some(Protocol::Auto) => session::Protocol::Auto,
        Some(Protocol::Ascii) => session::Protocol::Ascii,
        Some(Protocol::Binary) => session::Protocol::Binary,
    };
    login.map_or(protocol, |login| login.protocol(protocol))
}

/// `-u`; an empty name is none.
fn user(given: &Given) -> Option<&str> {
    given.user.as_deref().filter(|name| !name.is_empty())
}

fn process_options(given: &Given, threads: usize, has_secrets: bool) -> Process {
    let connections = u64::from(given.connections_max);
    Process {
        daemon: given.daemon,
        keep_stdio: given.verbosity > 0,
        keep_cwd: given.core_dumps,
        core_dumps: given.core_dumps,
        keep_to_itself: has_secrets && !given.core_dumps,
        lock_memory: given.lock_memory,
        open_files: connections + OPEN_FILES_FIXED + OPEN_FILES_PER_THREAD * threads as u64,
        connections,
        log_level: match given.verbosity {
            0 => log::LevelFilter::Info,
            1 => log::LevelFilter::Debug,
            _ => log::LevelFilter::Trace,
        },
    }
}

fn warnings(
    given: &Given,
    environment: &Environment,
    threads: usize,
    ports: Ports,
    login: Option<Login>,
) -> Vec<String> {
    let mut lines = given.notes.clone();
    lines.extend_from_slice(&given.extended.notes);
    let mut without_effect: Vec<String> = Vec::new();
    without_effect.extend(given.napi_ids.map(|_| "-N".to_owned()));
    for name in &given.extended.without_effect {
        let name = format!("-o {name}");
        if !without_effect.contains(&name) {
            without_effect.push(name);
        }
    }
    if !without_effect.is_empty() {
        let names = without_effect.join(", ");
        lines.push(format!("accepted without effect: {names} (see docs/options.md)"));
    }
    if threads > THREADS_ADVISED {
        lines.push(format!("-t {threads}: more threads than CPUs make the server slower"));
    }
    if ports == NO_PORTS && given.unix_socket.is_none() {
        lines.push("-p 0 without -s: there is nothing to listen on".to_owned());
    }
    if given.cluster_file.is_some() && login.is_none() {
        let line = "--cluster-file without logins: any client may change the list (config set)";
        lines.push(line.to_owned());
    }
    lines.extend(tls::warnings(given, ports.udp != Port::Off));
    if environment.root && user(given).is_none() {
        lines.push("running as root; -u names the user to become".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests;

//! Plays scenarios step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::capture::{Scenario, Step, Transport};
use crate::connection::Connection;
use crate::difference::{Difference, What};
use crate::expectation::{Assignment, Expected, Order};
use crate::intended::Intent;
use crate::kick::{Kick, reason_of};
use crate::line::{End, Line};
use crate::package::{KICK, kind};
use crate::recording::Recording;
use crate::rules;
use crate::run::{Options, ScenarioReport, Verdict};

/// The state that lives on from scenario to scenario: the open connections.
pub(crate) struct Player<'a> {
    options: &'a Options,
    /// Open connections; of two with one name the later one is meant until it closes.
    lines: Vec<Line>,
    /// Connections opened so far.
    opened: u64,
    /// By user and recorded connector port: the port that the gate under test answered.
    redirects: BTreeMap<(String, u16), u16>,
}

/// One scenario under way.
struct Scene<'a> {
    name: &'a str,
    differences: Vec<Difference>,
    skipped: Option<String>,
    /// Connections that are not played, or failed: their further steps are left out.
    absent: BTreeSet<String>,
    /// Who sent last; nobody in a scenario that the server begins.
    last_sender: Option<String>,
    /// The recording, where something else is played.
    recording: Option<Recording<'a>>,
}

impl Scene<'_> {
    fn differs(&mut self, who: &str, step: usize, what: What) {
        self.differences.push(Difference { who: who.to_owned(), step, what });
    }

    /// Keeps the recording, where it is not what is played, in step.
    fn advance(&mut self, step: Option<&Step>, lines: &[Line]) {
        if let Some(recording) = &mut self.recording {
            recording.advance(step, lines);
        }
    }

    /// A connection is over, or the scenario is.
    fn ended(&mut self, line: &Line) {
        if let Some(recording) = &mut self.recording {
            recording.ended(line);
        }
    }
}

impl<'a> Player<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self { options, lines: Vec::new(), opened: 0, redirects: BTreeMap::new() }
    }

    /// Plays one scenario: as recorded, or with what is intended in its place.
    pub(crate) fn play(&mut self, scenario: &Scenario) -> ScenarioReport {
        let options = self.options;
        match options.intended.of(scenario) {
            Ok(None) => self.play_steps(scenario, None).0,
            Ok(Some(Intent { reason, steps })) => {
                let intended = Scenario { name: scenario.name.clone(), steps: steps.clone() };
                let (mut report, kept) = self.play_steps(&intended, Some(Recording::new(scenario)));
                if kept {
                    report.differences.clear();
                } else if report.verdict() == Verdict::Kept {
                    report.fixed = Some(reason.clone());
                }
                report
            }
            Err(problem) => {
                let (mut report, _) = self.play_steps(scenario, None);
                if !report.differences.is_empty() {
                    let what = What::Intended(problem);
                    report.differences.push(Difference { who: "expected".to_owned(), step: 0, what });
                }
                report
            }
        }
    }

    /// The report, and whether the server did as in the recording that is given beside the steps.
    fn play_steps<'s>(
        &mut self,
        scenario: &'s Scenario,
        recording: Option<Recording<'s>>,
    ) -> (ScenarioReport, bool) {
        self.lines.iter_mut().for_each(|line| line.log.clear());
        let mut scene = Scene {
            name: &scenario.name,
            differences: Vec::new(),
            skipped: None,
            absent: BTreeSet::new(),
            last_sender: None,
            recording,
        };
        let about_heartbeats = rules::is_about_heartbeats(&scenario.name);
        if about_heartbeats {
            self.hush(scenario);
        }
        scene.advance(None, &self.lines);
        let mut steps = (1..).zip(&scenario.steps).peekable();
        while let Some((number, step)) = steps.next() {
            match step {
                Step::Open { who, transport, port } => self.open(&mut scene, number, who, *transport, *port),
                Step::Send { who, bytes } => {
                    let is_closed_next =
                        is_closed_next(scenario.steps.get(number..).unwrap_or_default(), who);
                    self.send(&mut scene, number, who, bytes, is_closed_next);
                }
                Step::Close { who } => self.close(&mut scene, number, who),
                Step::Note => {}
                Step::Expect { .. } | Step::Closed { .. } => {
                    // Everything up to what a client does next: its order is not fixed over connections.
                    let mut run = vec![(number, step)];
                    while let Some(next) = steps.next_if(|(_, next)| !next.is_clients()) {
                        run.push(next);
                    }
                    self.expect(&mut scene, &run, about_heartbeats);
                }
            }
            if step.is_clients() {
                scene.advance(Some(step), &self.lines);
            }
            if !about_heartbeats {
                self.lines.iter_mut().for_each(|line| line.keep_alive(true));
            }
        }
        self.finish(&mut scene, scenario, about_heartbeats);
        let kept = scene.recording.is_some_and(|recording| recording.is_kept());
        let report = ScenarioReport::new(scenario.name.clone());
        (ScenarioReport { differences: scene.differences, skipped: scene.skipped, ..report }, kept)
    }

    /// Stops the runner's own heartbeats on the connections of a scenario, and takes the answers to the last ones.
    fn hush(&mut self, scenario: &Scenario) {
        for line in self.lines.iter_mut().filter(|line| is_in(scenario, &line.who)) {
            line.keep_alive(false);
            line.settle(self.options.quiet);
            line.drop_heartbeats();
        }
    }

    fn open(&mut self, scene: &mut Scene<'_>, step: usize, who: &str, recorded: Transport, port: u16) {
        if recorded == Transport::Udp {
            scene.skipped = Some("datagrams cannot be played".to_owned());
            scene.absent.insert(who.to_owned());
            return;
        }
        let transport = self.options.transport.unwrap_or(recorded);
        let redirected = self.redirects.get(&(user_of(who).to_owned(), port));
        let port = *redirected.or(self.options.ports.get(&port)).unwrap_or(&port);
        match Connection::open(&self.options.host, port, transport, self.options.wait) {
            Ok(connection) => {
                scene.absent.remove(who);
                self.opened += 1;
                self.lines.push(Line::new(self.opened, who, transport, connection));
            }
            Err(problem) => {
                scene.differs(who, step, What::Connection(problem));
                scene.absent.insert(who.to_owned());
            }
        }
    }

    /// A server that is to close next may have done so already: it need not read on before.
    fn send(&mut self, scene: &mut Scene<'_>, step: usize, who: &str, bytes: &[u8], is_closed_next: bool) {
        scene.last_sender = Some(who.to_owned());
        let Some(line) = self.line(scene, step, who) else { return };
        if line.end.is_none()
            && let Err(problem) = line.send(bytes)
        {
            // If the server has closed, that is what is told.
            line.settle(Duration::from_millis(100));
            if line.end.is_none() {
                line.end = Some(End::Broken(problem));
            }
        }
        if !is_closed_next {
            self.tell_end(scene, step, who);
        }
    }

    /// A connection that the capture did not open is not closed either.
    fn close(&mut self, scene: &mut Scene<'_>, step: usize, who: &str) {
        if scene.absent.remove(who) {
            return;
        }
        let Some(index) = self.lines.iter().rposition(|line| line.who == who) else { return };
        let mut line = self.lines.remove(index);
        line.settle(self.options.quiet);
        scene.ended(&line);
        leftovers(scene, step, &mut line);
        if let Some(end) = &line.end {
            scene.differs(who, step, what_of(end));
        }
    }

    /// The latest open connection with a name; if there is none, that is a difference, once.
    fn line(&mut self, scene: &mut Scene<'_>, step: usize, who: &str) -> Option<&mut Line> {
        if scene.absent.contains(who) {
            return None;
        }
        let found = self.lines.iter_mut().rfind(|line| line.who == who);
        if found.is_none() {
            scene.differs(
                who,
                step,
                What::Connection("no open connection; an earlier scenario lost it".to_owned()),
            );
            scene.absent.insert(who.to_owned());
        }
        found
    }

    /// Tells of a connection that ended without being expected to, and forgets it.
    fn tell_end(&mut self, scene: &mut Scene<'_>, step: usize, who: &str) {
        let ended = |line: &Line| line.who == who && line.end.is_some();
        let Some(index) = self.lines.iter().rposition(ended) else { return };
        let mut line = self.lines.remove(index);
        scene.ended(&line);
        leftovers(scene, step, &mut line);
        if let Some(end) = &line.end {
            scene.differs(who, step, what_of(end));
        }
        scene.absent.insert(who.to_owned());
    }

    /// Compares everything up to the next thing that a client does.
    fn expect(&mut self, scene: &mut Scene<'_>, run: &[(usize, &Step)], about_heartbeats: bool) {
        if scene.last_sender.is_none() {
            self.kick_from_outside(scene, run);
        }
        let mut names: Vec<&str> = Vec::new();
        for who in run.iter().filter_map(|(_, step)| step.who()) {
            if !names.contains(&who) {
                names.push(who);
            }
        }
        let deadline = Instant::now() + self.options.wait;
        for who in names {
            self.expect_on(scene, who, run, deadline, about_heartbeats);
        }
    }

    fn expect_on(
        &mut self,
        scene: &mut Scene<'_>,
        who: &str,
        run: &[(usize, &Step)],
        deadline: Instant,
        about_heartbeats: bool,
    ) {
        let expected: Vec<Expected<'_>> =
            run.iter().filter_map(|(step, what)| expected(who, *step, what)).collect();
        let closed = run.iter().find_map(|(step, what)| match what {
            Step::Closed { who: whose, code } if whose == who => Some((*step, *code)),
            _ => None,
        });
        let first =
            expected.first().map(|first| first.step).or(closed.map(|(step, _)| step)).unwrap_or_default();
        let (quiet, server_order) = (self.options.quiet, self.options.server_order);
        let Some(line) = self.line(scene, first, who) else { return };

        let patience = if about_heartbeats { 3 * line.heartbeat.unwrap_or_default() } else { Duration::ZERO };
        let until = Until { deadline, close_deadline: deadline + patience, quiet, closed: closed.is_some() };
        let assignment = collect(line, &expected, &until);
        let order = match scene.last_sender.as_deref() {
            Some(sender) if server_order && sender == who => Order::PushesBeforeAnswer,
            _ => Order::Free,
        };
        let (differences, dealt_with) = assignment.judge(&expected, &line.inbox, order);
        let ports: Vec<_> = (expected.iter().filter_map(|wanted| rules::gate_port(wanted.package)))
            .zip(dealt_with.iter().filter_map(|index| rules::gate_port(line.inbox.get(*index)?)))
            .collect();
        let mut index = 0..;
        line.inbox.retain(|_| index.next().is_some_and(|index| !dealt_with.contains(&index)));
        let optional = expected.iter().filter(|wanted| wanted.optional);
        line.forgiven.extend(optional.map(|wanted| wanted.package.to_vec()));
        for (step, what) in differences {
            scene.differs(who, step, what);
        }
        for (recorded, answered) in ports {
            self.redirects.insert((user_of(who).to_owned(), recorded), answered);
        }
        if let Some((step, code)) = closed {
            self.closed(scene, step, who, code);
        }
    }

    /// A connection that the server was to close.
    fn closed(&mut self, scene: &mut Scene<'_>, step: usize, who: &str, code: Option<u16>) {
        let Some(index) = self.lines.iter().rposition(|line| line.who == who) else { return };
        let mut line = self.lines.remove(index);
        scene.ended(&line);
        leftovers(scene, step, &mut line);
        match (&line.end, code) {
            (None, _) => scene.differs(who, step, What::StillOpen),
            (Some(End::Broken(problem)), _) => scene.differs(who, step, What::Connection(problem.clone())),
            (Some(End::Closed(found)), Some(expected))
                if line.transport == Transport::Ws && *found != Some(expected) =>
            {
                scene.differs(who, step, What::CloseCode { expected, found: *found });
            }
            (Some(End::Closed(_)), _) => {}
        }
    }

    /// A scenario that begins with a KICK was recorded with one that came from an administrator.
    fn kick_from_outside(&mut self, scene: &mut Scene<'_>, run: &[(usize, &Step)]) {
        for (step, what) in run {
            let Step::Expect { who, package } = what else { continue };
            if kind(package) != Some(KICK) {
                continue;
            }
            let uid = self.lines.iter().rfind(|line| line.who == *who).and_then(|line| line.uid.clone());
            let kicked = match (&self.options.kick, uid) {
                (Some(kick), Some(uid)) => kick(&Kick { uid, reason: reason_of(package) }),
                (None, _) => {
                    Err("the capture has a kick from outside here, and no kick command is given".to_owned())
                }
                (_, None) => Err("nobody is known to be logged in here, so nobody can be kicked".to_owned()),
            };
            if let Err(problem) = kicked {
                scene.differs(who, *step, What::Kick(problem));
            }
        }
    }

    /// What came and nobody expected; connections that ended.
    fn finish(&mut self, scene: &mut Scene<'_>, scenario: &Scenario, about_heartbeats: bool) {
        let mut ended = Vec::new();
        for line in &mut self.lines {
            let quiet = if is_in(scenario, &line.who) { self.options.quiet } else { Duration::ZERO };
            line.settle(quiet);
            if !about_heartbeats || !is_in(scenario, &line.who) {
                line.drop_heartbeats();
            }
            if line.end.is_some() {
                ended.push(line.who.clone());
            } else {
                scene.ended(line);
                leftovers(scene, 0, line);
            }
        }
        for who in ended {
            self.tell_end(scene, 0, &who);
        }
        self.lines.iter_mut().for_each(|line| line.keep_alive(true));
    }
}

/// How long to wait for what is expected on a connection.
struct Until {
    deadline: Instant,
    close_deadline: Instant,
    quiet: Duration,
    closed: bool,
}

/// Waits until everything expected has come, or it is clear that it does not.
fn collect(line: &mut Line, expected: &[Expected<'_>], until: &Until) -> Assignment {
    loop {
        let assignment = Assignment::new(expected, &line.inbox);
        let (complete, now) = (assignment.is_complete(), Instant::now());
        let time = match () {
            () if complete && !until.closed => return assignment,
            () if line.end.is_some() => return assignment,
            () if until.closed && (complete || assignment.is_answered()) => {
                until.close_deadline - now.min(until.close_deadline)
            }
            // Something else came instead: wait a moment whether the right thing still does.
            () if assignment.is_answered() => until.quiet.min(until.deadline.saturating_duration_since(now)),
            () => until.deadline.saturating_duration_since(now),
        };
        if !line.wait(time) {
            return assignment;
        }
    }
}

fn expected<'s>(who: &str, step: usize, what: &'s Step) -> Option<Expected<'s>> {
    match what {
        Step::Expect { who: whose, package } if whose == who => {
            Some(Expected { step, package, optional: rules::is_optional(who, package) })
        }
        _ => None,
    }
}

fn leftovers(scene: &mut Scene<'_>, step: usize, line: &mut Line) {
    if !rules::is_about_heartbeats(scene.name) {
        line.drop_heartbeats();
    }
    for found in line.leftovers() {
        scene.differs(&line.who, step, What::Extra { found });
    }
}

fn what_of(end: &End) -> What {
    match end {
        End::Closed(_) => What::ClosedByServer,
        End::Broken(problem) => What::Connection(problem.clone()),
    }
}

/// Whether the server closes a connection next, whatever its client still writes.
fn is_closed_next(steps: &[Step], who: &str) -> bool {
    let mut own = steps.iter().filter(|step| step.who() == Some(who));
    let next = own.find(|step| !matches!(step, Step::Send { .. }));
    matches!(next, Some(Step::Closed { .. }))
}

fn is_in(scenario: &Scenario, who: &str) -> bool {
    scenario.steps.iter().any(|step| step.who() == Some(who))
}

/// `alice.gate` and `alice` are connections of one user.
fn user_of(who: &str) -> &str {
    who.split_once('.').map_or(who, |(user, _)| user)
}

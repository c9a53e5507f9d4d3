/**
 * Guess the number, in rooms.
 *
 * A client enters a room at its connector, joins it on the guess server that the room's name leads to, and guesses. The
 * rooms live in the plugin's memory: on guess servers it has the pool policy `single`.
 */
import { app, Channel, Failure, type Member, pick, plugin, rpc, type Session, timers } from "shaddock-sdk";

/** The largest number that can be the secret; the smallest is 1. */
const NUMBER_MAX = 100;
/** Longest name of a player or a room, in characters. */
const NAME_CHARS_MAX = 32;

/** What is being played in a room. */
interface Round {
  number: number;
  secret: number;
  timer: number;
}

const rounds = new Map<string, Round>();

export const { handler, remote, router, lifecycle, timer } = plugin({
  routes: {
    "connector.roomHandler.enter": enter,
    "connector.roomHandler.status": look,
    "guess.roomHandler.join": join,
    "guess.roomHandler.guess": guess,
    "guess.roomHandler.crash": crash,
  },
  remotes: { "guess.roomRemote.status": status, "guess.roomRemote.leave": leave },
  routers: { guess: (key, servers) => pick(key.text("room"), servers) },
  timers: { round: timeUp },
  sessionClosed: left,
});

function field(message: unknown, name: string): unknown {
  return (message as Record<string, unknown> | null)?.[name];
}

/** A text of a message. */
function text(message: unknown, name: string): string {
  const value = field(message, name);
  if (typeof value !== "string") throw new Failure(400, `${name} is no text`);
  return value;
}

/** Connector: notes who is in which room, so that the route function knows. */
function enter(message: unknown, session: Session) {
  const [name, room] = [text(message, "name"), text(message, "room")];
  for (const { length } of [[...name], [...room]]) {
    if (length < 1 || length > NAME_CHARS_MAX) throw new Failure(400, `a name has 1 to ${NAME_CHARS_MAX} characters`);
  }
  session.bind(name);
  left(session);
  session.set("room", room);
  session.push();
  return { name, room };
}

/** Connector: asks the guess server that has the room. */
function look(message: unknown): unknown {
  const room = text(message, "room");
  return rpc.call("guess", room, "roomRemote.status", { room });
}

function roomOf(session: Session): string {
  const room: string | undefined = session.get("room");
  if (room === undefined) throw new Failure(403, "enter a room first");
  return room;
}

/** Begins a round, in which there is so much time to guess. */
function begin(room: string, number: number): Round {
  const { roundMs = 60_000 }: { roundMs?: number } = app.settings();
  const round = {
    number,
    secret: 1 + Math.floor(Math.random() * NUMBER_MAX),
    timer: timers.after(roundMs, "round", { room, round: number } satisfies TimeUp),
  };
  rounds.set(room, round);
  return round;
}

/** Ends a round, and begins the next. */
function end(room: string, round: Round) {
  timers.cancel(round.timer);
  begin(room, round.number + 1);
}

function join(_message: unknown, session: Session) {
  const room = roomOf(session);
  const member = session.member();
  const channel = new Channel(room);
  const isNew = channel.join(member);
  const round = rounds.get(room) ?? begin(room, 1);
  if (isNew) channel.push("onJoin", { name: member.uid, room });
  return { players: channel.members().map(({ uid }) => uid), room, round: round.number };
}

function guess(message: unknown, session: Session) {
  const number = field(message, "number");
  if (typeof number !== "number" || !Number.isInteger(number) || number < 1 || number > NUMBER_MAX) {
    throw new Failure(400, `number is a whole number from 1 to ${NUMBER_MAX}`);
  }
  const room = roomOf(session);
  const { uid: name } = session.member();
  const channel = new Channel(room);
  const round = rounds.get(room);
  if (round === undefined || channel.find(name) === null) throw new Failure(403, "join the room first");
  if (number !== round.secret) return { answer: number < round.secret ? "higher" : "lower", round: round.number };
  end(room, round);
  channel.push("onRight", { name, number, room, round: round.number });
  return { answer: "right", round: round.number };
}

interface TimeUp {
  room: string;
  round: number;
}

/** Timer: nobody found the number in time. */
function timeUp({ room, round }: TimeUp) {
  const ended = rounds.get(room);
  if (ended === undefined || ended.number !== round) return; // found at the last moment
  end(room, ended);
  new Channel(room).push("onTimeout", { number: ended.secret, room, round });
}

/** Remote: what goes on in a room. */
function status({ room }: { room: string }) {
  const round = rounds.get(room);
  if (round === undefined) throw new Failure(404, `nobody plays in ${room}`);
  return { players: new Channel(room).members().length, room, round: round.number, server: app.ownServer().id };
}

interface Leave {
  member: Member;
  room: string;
}

/** Remote: takes a player out of a room, and ends the game with the last one. */
function leave({ member, room }: Leave) {
  const channel = new Channel(room);
  if (!channel.leave(member)) return;
  if (channel.members().length > 0) {
    channel.push("onLeave", { name: member.uid, room });
    return;
  }
  const round = rounds.get(room);
  if (round !== undefined) timers.cancel(round.timer);
  rounds.delete(room);
}

/** Connector: a session has gone, or enters another room. */
function left(session: Session) {
  const room: string | undefined = session.get("room");
  if (room === undefined) return;
  rpc.call("guess", session, "roomRemote.leave", { member: session.member(), room } satisfies Leave);
}

/** What becomes of an error that nobody handles: the client gets the code 500, and the log the message. */
function crash(message: unknown): never {
  throw new Error(text(message, "text"));
}

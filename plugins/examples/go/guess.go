// Guess the number, in rooms.
//
// A client enters a room at its connector, joins it on the guess server that the room's name leads to, and guesses. The
// rooms live in the plugin's memory: on guess servers it has the pool policy `single`.
package main

import (
	"encoding/json/jsontext"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"shaddock"
)

const (
	// The largest number that can be the secret; the smallest is 1.
	numberMax = 100
	// Longest name of a player or a room, in characters.
	nameCharsMax = 32
)

func init() {
	shaddock.Route("connector.roomHandler.enter", enter)
	shaddock.Route("connector.roomHandler.status", look)
	shaddock.Route("guess.roomHandler.join", join)
	shaddock.Route("guess.roomHandler.guess", guess)
	shaddock.Route("guess.roomHandler.crash", crash)
	shaddock.Remote("guess.roomRemote.status", status)
	shaddock.Remote("guess.roomRemote.leave", leave)
	shaddock.Router("guess", byRoom)
	shaddock.Timer("round", timeUp)
	shaddock.OnSessionClosed(left)
}

func main() {}

// What is being played in a room.
type round struct {
	number, secret int
	timer          shaddock.TimerID
}

var rounds = map[string]*round{}

type entry struct {
	Name string `json:"name"`
	Room string `json:"room"`
}

func fits(name string) bool {
	chars := utf8.RuneCountInString(name)
	return 1 <= chars && chars <= nameCharsMax
}

// Connector: notes who is in which room, so that the route function knows.
func enter(message entry, session *shaddock.Session) (entry, error) {
	if !fits(message.Name) || !fits(message.Room) {
		return message, shaddock.Fail(400, "a name has 1 to %d characters", nameCharsMax)
	}
	if err := session.Bind(message.Name); err != nil {
		return message, err
	}
	if err := left(session, ""); err != nil {
		return message, err
	}
	if err := session.Set("room", message.Room); err != nil {
		return message, err
	}
	return message, session.Push()
}

type inRoom struct {
	Room string `json:"room"`
}

// Connector: asks the guess server that has the room.
func look(message inRoom, _ *shaddock.Session) (jsontext.Value, error) {
	if !fits(message.Room) {
		return nil, shaddock.Fail(400, "room is the name of a room")
	}
	return shaddock.Call[jsontext.Value]("guess", shaddock.Text(message.Room), "roomRemote.status", message)
}

// Route function: the guess server of the room's name.
func byRoom(key *shaddock.RouteKey, servers []shaddock.Server, _ string) (shaddock.Server, error) {
	return shaddock.Pick(key.Text("room"), servers)
}

// The room of a session, and who it is there.
func placeOf(session *shaddock.Session) (string, shaddock.Member, error) {
	room := session.Text("room")
	if room == "" {
		return "", shaddock.Member{}, shaddock.Fail(403, "enter a room first")
	}
	member, err := session.Member()
	return room, member, err
}

type deadline struct {
	Room  string `json:"room"`
	Round int    `json:"round"`
}

// Begins a round, in which there is so much time to guess.
func begin(room string, number int) (*round, error) {
	settings := struct {
		RoundMs int64 `json:"roundMs"`
	}{60_000}
	if err := shaddock.Settings(&settings); err != nil {
		return nil, err
	}
	time := time.Duration(settings.RoundMs) * time.Millisecond
	timer, err := shaddock.After(time, "round", deadline{room, number})
	if err != nil {
		return nil, err
	}
	rounds[room] = &round{number, 1 + rand.IntN(numberMax), timer}
	return rounds[room], nil
}

// Ends a round, and begins the next.
func end(room string, ended *round) error {
	ended.timer.Cancel()
	_, err := begin(room, ended.number+1)
	return err
}

type joined struct {
	Players []string `json:"players"`
	Room    string   `json:"room"`
	Round   int      `json:"round"`
}

func join(_ jsontext.Value, session *shaddock.Session) (answer joined, err error) {
	room, member, err := placeOf(session)
	if err != nil {
		return answer, err
	}
	channel := shaddock.Channel(room)
	isNew, err := channel.Join(member)
	if err != nil {
		return answer, err
	}
	current := rounds[room]
	if current == nil {
		if current, err = begin(room, 1); err != nil {
			return answer, err
		}
	}
	if isNew {
		if err := channel.Push("onJoin", entry{member.UID, room}); err != nil {
			return answer, err
		}
	}
	members, err := channel.Members()
	for _, member := range members {
		answer.Players = append(answer.Players, member.UID)
	}
	answer.Room, answer.Round = room, current.number
	return answer, err
}

type attempt struct {
	Number float64 `json:"number"`
}

type hint struct {
	Answer string `json:"answer"`
	Round  int    `json:"round"`
}

type found struct {
	Name   string `json:"name,omitempty"`
	Number int    `json:"number"`
	Room   string `json:"room"`
	Round  int    `json:"round"`
}

func guess(message attempt, session *shaddock.Session) (answer hint, err error) {
	number := int(message.Number)
	if float64(number) != message.Number || number < 1 || number > numberMax {
		return answer, shaddock.Fail(400, "number is a whole number from 1 to %d", numberMax)
	}
	room, member, err := placeOf(session)
	if err != nil {
		return answer, err
	}
	channel, current := shaddock.Channel(room), rounds[room]
	if _, isMember := channel.Find(member.UID); current == nil || !isMember {
		return answer, shaddock.Fail(403, "join the room first")
	}
	switch {
	case number < current.secret:
		return hint{"higher", current.number}, nil
	case number > current.secret:
		return hint{"lower", current.number}, nil
	}
	if err := end(room, current); err != nil {
		return answer, err
	}
	return hint{"right", current.number}, channel.Push("onRight", found{member.UID, number, room, current.number})
}

// Timer: nobody found the number in time.
func timeUp(payload deadline) error {
	ended := rounds[payload.Room]
	if ended == nil || ended.number != payload.Round {
		return nil // found at the last moment
	}
	if err := end(payload.Room, ended); err != nil {
		return err
	}
	told := found{Number: ended.secret, Room: payload.Room, Round: ended.number}
	return shaddock.Channel(payload.Room).Push("onTimeout", told)
}

type state struct {
	Players int    `json:"players"`
	Room    string `json:"room"`
	Round   int    `json:"round"`
	Server  string `json:"server"`
}

// Remote: what goes on in a room.
func status(args inRoom) (state, error) {
	current := rounds[args.Room]
	if current == nil {
		return state{}, shaddock.Fail(404, "nobody plays in %s", args.Room)
	}
	members, err := shaddock.Channel(args.Room).Members()
	return state{len(members), args.Room, current.number, shaddock.OwnServer().ID}, err
}

type leaver struct {
	Frontend string `json:"frontend"`
	Room     string `json:"room"`
	UID      string `json:"uid"`
}

// Remote: takes a player out of a room, and ends the game with the last one.
func leave(args leaver) (none shaddock.None, err error) {
	channel := shaddock.Channel(args.Room)
	if !channel.Leave(shaddock.Member{UID: args.UID, Frontend: args.Frontend}) {
		return none, nil
	}
	members, err := channel.Members()
	if err != nil {
		return none, err
	}
	if len(members) > 0 {
		return none, channel.Push("onLeave", entry{args.UID, args.Room})
	}
	if ended := rounds[args.Room]; ended != nil {
		delete(rounds, args.Room)
		ended.timer.Cancel()
	}
	return none, nil
}

// Connector: a session has gone, or enters another room.
func left(session *shaddock.Session, _ string) error {
	room := session.Text("room")
	if room == "" {
		return nil
	}
	_, err := shaddock.Call[any]("guess", session, "roomRemote.leave", leaver{session.Frontend(), room, session.UID()})
	return err
}

// What becomes of an error that nobody handles, a panic: the client gets the code 500, and the log the message.
func crash(message struct {
	Text string `json:"text"`
}, _ *shaddock.Session) (none shaddock.None, err error) {
	panic(message.Text)
}

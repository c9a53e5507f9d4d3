// Package shaddocktest is a host for the unit tests of plugins: `shaddock test` runs them on this machine, without a server.
//
// It behaves as a server with one frontend does: sessions keep their users and settings, channels their members, and whatever
// the plugin sends, calls, sets and logs is kept to be looked at. A call that has no answer prepared fails with 404. For a clock
// that a test can wind forward there is testing/synctest.
package shaddocktest

import (
	"encoding/json/v2"
	"fmt"
	"slices"

	"shaddock"
	"shaddock/internal/host"
)

// Frontend is the id of the only frontend.
const Frontend = "connector-1"

// Push is a message to clients. To has the users, and is empty for one that goes to all of a server type.
type Push struct {
	To    []string
	Route string
	// JSON.
	Body string
}

// Call is a call to another plugin.
type Call struct {
	ServerType string
	Method     string
	// JSON.
	Args string
}

// Timer is a timer that is set.
type Timer struct {
	ID    uint64
	Ms    uint64
	Again bool
	Name  string
	// JSON.
	Payload string
}

// Host is the host of one test. A new one takes the place of the one before.
type Host struct {
	Pushes []Push
	Calls  []Call
	Timers []Timer
	Logs   []string
	// Random bytes that the plugin asks for, again and again. (math/rand has numbers of its own in tests.)
	Random []byte
	// The servers that are up, the plugin's own first.
	ServersUp []shaddock.Server

	answers  map[string]func(args []byte) (any, error)
	channels map[string][]host.Member
	sessions map[uint64]*host.Session
	timers   uint64
	calls    []*host.Session
}

// Session is a client that has connected.
type Session struct {
	number uint64
}

// New begins with nothing, and with these settings of plugins.json.
func New(settings any) *Host {
	h := &Host{
		Random:    []byte{7},
		ServersUp: []shaddock.Server{{ID: "area-1", ServerType: "area", Host: "127.0.0.1", Fields: "{}"}},
		answers:   map[string]func([]byte) (any, error){},
		channels:  map[string][]host.Member{},
		sessions:  map[uint64]*host.Session{},
	}
	host.Here = server{h}
	text, err := json.Marshal(settings)
	if err != nil {
		panic(err)
	}
	if failure := host.Served.Init(string(text)); failure != nil {
		panic(failure.Message)
	}
	return h
}

// Answers says what a remote of another plugin answers from now on; the method is serverType.service.method.
func (h *Host) Answers(method string, answer func(args []byte) (any, error)) {
	h.answers[method] = answer
}

// Connect is a client that connects, with this user if it is not empty.
func (h *Host) Connect(uid string) Session {
	number := uint64(len(h.sessions) + 1)
	session := &host.Session{ID: host.SessionID{Frontend: Frontend, Number: number}}
	if uid != "" {
		session.UID = &uid
	}
	h.sessions[number] = session
	return Session{number}
}

// UID is the user of a session, as its frontend knows it.
func (h *Host) UID(session Session) string {
	if known := h.sessions[session.number]; known != nil && known.UID != nil {
		return *known.UID
	}
	return ""
}

// Setting is a setting of a session as its frontend has it, JSON; empty if there is none.
func (h *Host) Setting(session Session, key string) string {
	if known := h.sessions[session.number]; known != nil {
		for _, setting := range known.Settings {
			if setting.Key == key {
				return setting.Value
			}
		}
	}
	return ""
}

// Request sends a message to a handler as a client does. The error is a [*shaddock.Failure].
func (h *Host) Request(session Session, route string, message any) (answer string, err error) {
	known := h.sessions[session.number]
	if known == nil {
		return "", shaddock.Fail(404, "the session has gone")
	}
	body, err := json.Marshal(message)
	if err != nil {
		return "", err
	}
	call := *known
	call.Settings = slices.Clone(known.Settings)
	h.calls = append(h.calls, &call)
	defer func() { h.calls = h.calls[:len(h.calls)-1] }()
	given, failure := host.Served.Handle(route, body, call)
	if failure != nil {
		return "", (*shaddock.Failure)(failure)
	}
	if len(given) == 0 {
		return "{}", nil
	}
	return string(given), nil
}

// Remote calls a remote of the plugin as another plugin does.
func (h *Host) Remote(method string, args any) (answer string, err error) {
	body, err := json.Marshal(args)
	if err != nil {
		return "", err
	}
	given, failure := host.Served.Call(method, body)
	if failure != nil {
		return "", (*shaddock.Failure)(failure)
	}
	return string(given), nil
}

// Fire lets a timer go off.
func (h *Host) Fire(timer Timer) error {
	if !timer.Again {
		server{h}.Cancel(timer.ID)
	}
	if failure := host.Served.Fired(timer.Name, []byte(timer.Payload)); failure != nil {
		return (*shaddock.Failure)(failure)
	}
	return nil
}

// Disconnect ends a session.
func (h *Host) Disconnect(session Session, reason string) {
	if known := h.sessions[session.number]; known != nil {
		delete(h.sessions, session.number)
		host.Served.SessionClosed(*known, reason)
	}
}

func failed(code uint32, format string, arguments ...any) *host.Failure {
	return &host.Failure{Code: code, Message: fmt.Sprintf(format, arguments...)}
}

package shaddocktest

import (
	"encoding/json/v2"
	"errors"
	"slices"

	"shaddock"
	"shaddock/internal/host"
)

// server is a Host as the plugin sees it.
type server struct {
	*Host
}

func (s server) Log(_ uint8, message string) { s.Logs = append(s.Logs, message) }

func (s server) OwnServer() host.Server { return s.ServersUp[0] }

func (s server) Servers(serverType string) []host.Server {
	other := func(server host.Server) bool { return server.ServerType != serverType }
	return slices.DeleteFunc(slices.Clone(s.ServersUp), other)
}

func (s server) Server(id string) (host.Server, bool) {
	at := slices.IndexFunc(s.ServersUp, func(server host.Server) bool { return server.ID == id })
	if at < 0 {
		return host.Server{}, false
	}
	return s.ServersUp[at], true
}

func (s server) ServerTypes() []string {
	var types []string
	for _, server := range s.ServersUp {
		types = append(types, server.ServerType)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func (s server) RandomBytes(count uint32) []byte {
	bytes := make([]byte, count)
	for i := range bytes {
		bytes[i] = s.Random[i%len(s.Random)]
	}
	return bytes
}

func (s server) with(id host.SessionID, change func(*host.Session) *host.Failure) *host.Failure {
	session := s.sessions[id.Number]
	if session == nil {
		return failed(404, "no session %d", id.Number)
	}
	return change(session)
}

func (s server) Bind(id host.SessionID, uid string) *host.Failure {
	return s.with(id, func(session *host.Session) *host.Failure {
		if session.UID != nil && *session.UID != uid {
			return failed(409, "the session is bound to %s", *session.UID)
		}
		session.UID = &uid
		return nil
	})
}

func (s server) Unbind(id host.SessionID, uid string) *host.Failure {
	return s.with(id, func(session *host.Session) *host.Failure {
		if session.UID == nil || *session.UID != uid {
			return failed(409, "the session is not bound to %s", uid)
		}
		session.UID = nil
		return nil
	})
}

// The copy that the call under way has of a session.
func (s server) copyOf(id host.SessionID) *host.Session {
	if len(s.calls) == 0 || s.calls[len(s.calls)-1].ID != id {
		return nil
	}
	return s.calls[len(s.calls)-1]
}

func put(settings []host.Setting, setting host.Setting) []host.Setting {
	at := slices.IndexFunc(settings, func(known host.Setting) bool { return known.Key == setting.Key })
	if at < 0 {
		return append(settings, setting)
	}
	settings[at] = setting
	return settings
}

func (s server) Set(id host.SessionID, key, value string) *host.Failure {
	session := s.copyOf(id)
	if session == nil {
		return failed(400, "the call has no copy of session %d", id.Number)
	}
	session.Settings = put(session.Settings, host.Setting{Key: key, Value: value})
	return nil
}

func (s server) PushSettings(id host.SessionID, keys []string) *host.Failure {
	session := s.copyOf(id)
	if session == nil {
		return failed(400, "the call has no copy of session %d", id.Number)
	}
	return s.with(id, func(known *host.Session) *host.Failure {
		for _, setting := range session.Settings {
			if len(keys) == 0 || slices.Contains(keys, setting.Key) {
				known.Settings = put(known.Settings, setting)
			}
		}
		return nil
	})
}

func (s server) Kick(id host.SessionID, _ string) *host.Failure {
	delete(s.sessions, id.Number)
	return nil
}

func (s server) Send(id host.SessionID, route string, body []byte) *host.Failure {
	return s.with(id, func(session *host.Session) *host.Failure {
		s.push([]string{s.UID(Session{id.Number})}, route, body)
		return nil
	})
}

func (s server) Address(id host.SessionID) (address string, failure *host.Failure) {
	return "127.0.0.1:1024", s.with(id, func(*host.Session) *host.Failure { return nil })
}

func (s server) push(to []string, route string, body []byte) {
	s.Pushes = append(s.Pushes, Push{To: to, Route: route, Body: string(body)})
}

func (s server) Create(channel string) (bool, *host.Failure) {
	_, known := s.channels[channel]
	if !known {
		s.channels[channel] = []host.Member{}
	}
	return !known, nil
}

func (s server) Join(channel string, member host.Member) (bool, *host.Failure) {
	isNew := !slices.Contains(s.channels[channel], member)
	if isNew {
		s.channels[channel] = append(s.channels[channel], member)
	}
	return isNew, nil
}

func (s server) Leave(channel string, member host.Member) bool {
	at := slices.Index(s.channels[channel], member)
	if at < 0 {
		return false
	}
	s.channels[channel] = slices.Delete(s.channels[channel], at, at+1)
	if len(s.channels[channel]) == 0 {
		delete(s.channels, channel)
	}
	return true
}

func (s server) Members(channel string) ([]host.Member, *host.Failure) {
	members, known := s.channels[channel]
	if !known {
		return nil, failed(404, "no channel %s", channel)
	}
	return slices.Clone(members), nil
}

func (s server) Find(channel, uid string) (host.Member, bool) {
	members := s.channels[channel]
	at := slices.IndexFunc(members, func(member host.Member) bool { return member.UID == uid })
	if at < 0 {
		return host.Member{}, false
	}
	return members[at], true
}

func (s server) Push(channel, route string, body []byte) *host.Failure {
	members, failure := s.Members(channel)
	if failure == nil {
		s.push(uids(members), route, body)
	}
	return failure
}

func uids(members []host.Member) []string {
	var all []string
	for _, member := range members {
		all = append(all, member.UID)
	}
	return all
}

func (s server) Destroy(channel string) bool {
	_, known := s.channels[channel]
	delete(s.channels, channel)
	return known
}

func (s server) PushTo(members []host.Member, route string, body []byte) *host.Failure {
	if len(members) == 0 {
		return failed(400, "a push to nobody")
	}
	s.push(uids(members), route, body)
	return nil
}

func (s server) Broadcast(_, route string, body []byte, _ bool) *host.Failure {
	s.push(nil, route, body)
	return nil
}

func (s server) Call(serverType string, _ host.Key, method string, args []byte) ([]byte, *host.Failure) {
	s.Calls = append(s.Calls, Call{serverType, method, string(args)})
	answer := s.answers[serverType+"."+method]
	if answer == nil {
		return nil, failed(404, "the test has no answer of %s.%s", serverType, method)
	}
	given, err := answer(args)
	var body []byte
	if err == nil {
		body, err = json.Marshal(given)
	}
	if err == nil {
		return body, nil
	}
	if failure, ok := errors.AsType[*shaddock.Failure](err); ok {
		return nil, (*host.Failure)(failure)
	}
	return nil, failed(500, "%s", err)
}

func (s server) CallServer(id, method string, args []byte) ([]byte, *host.Failure) {
	server, known := s.Server(id)
	if !known {
		return nil, failed(503, "no server %s", id)
	}
	return s.Call(server.ServerType, host.Key{}, method, args)
}

func (s server) CallAll(serverType, method string, args []byte) []host.Answer {
	var answers []host.Answer
	for _, server := range s.Servers(serverType) {
		body, failure := s.Call(serverType, host.Key{}, method, args)
		answers = append(answers, host.Answer{Server: server.ID, Body: body, Failure: failure})
	}
	return answers
}

func (s server) Notify(serverType string, key host.Key, method string, args []byte) *host.Failure {
	s.Call(serverType, key, method, args)
	return nil
}

func (s server) set(again bool, ms uint64, name string, payload []byte) (uint64, *host.Failure) {
	s.timers++
	s.Timers = append(s.Timers, Timer{ID: s.timers, Ms: ms, Again: again, Name: name, Payload: string(payload)})
	return s.timers, nil
}

func (s server) After(delayMs uint64, name string, payload []byte) (uint64, *host.Failure) {
	return s.set(false, delayMs, name, payload)
}

func (s server) Every(periodMs uint64, name string, payload []byte) (uint64, *host.Failure) {
	return s.set(true, periodMs, name, payload)
}

func (s server) Cancel(timer uint64) bool {
	before := len(s.Timers)
	s.Timers = slices.DeleteFunc(s.Timers, func(known Timer) bool { return known.ID == timer })
	return len(s.Timers) < before
}

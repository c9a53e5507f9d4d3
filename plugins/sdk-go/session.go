package shaddock

import (
	"shaddock/internal/host"
)

// Session is the session of a client: a copy made when the call was dispatched.
type Session struct {
	raw host.Session
}

// Member is a member of a channel: a user at a frontend.
type Member = host.Member

// given makes an error of a failure of the host.
func given(failure *host.Failure) error {
	if failure == nil {
		return nil
	}
	return (*Failure)(failure)
}

// Frontend is the id of the server that holds the connection.
func (s *Session) Frontend() string { return s.raw.ID.Frontend }

// Number is the number of the session at its frontend.
func (s *Session) Number() uint64 { return s.raw.ID.Number }

// UID is the user, or empty if none is bound.
func (s *Session) UID() string {
	if s.raw.UID == nil {
		return ""
	}
	return *s.raw.UID
}

// Member is the user as a channel knows it; fails (401) if none is bound.
func (s *Session) Member() (Member, error) {
	if s.raw.UID == nil {
		return Member{}, Fail(401, "no user is bound to the session")
	}
	return Member{UID: *s.raw.UID, Frontend: s.raw.ID.Frontend}, nil
}

// Get reads a setting. It is false if it was never set or is null.
func (s *Session) Get(key string, into any) (bool, error) {
	for _, setting := range s.raw.Settings {
		if setting.Key == key {
			return setting.Value != "null", decodeInto(setting.Value, into)
		}
	}
	return false, nil
}

// Text reads a setting that is a text; it is empty if it is none.
func (s *Session) Text(key string) string {
	var text string
	if _, err := s.Get(key, &text); err != nil {
		return ""
	}
	return text
}

// Set changes a setting of this copy; Push lets the next call see it.
func (s *Session) Set(key string, value any) error {
	json, err := encode(value)
	if err != nil {
		return err
	}
	if failure := host.Here.Set(s.raw.ID, key, string(json)); failure != nil {
		return given(failure)
	}
	for i := range s.raw.Settings {
		if s.raw.Settings[i].Key == key {
			s.raw.Settings[i].Value = string(json)
			return nil
		}
	}
	s.raw.Settings = append(s.raw.Settings, host.Setting{Key: key, Value: string(json)})
	return nil
}

// Push writes the settings named, or all, to the frontend. The last writer wins.
func (s *Session) Push(keys ...string) error { return given(host.Here.PushSettings(s.raw.ID, keys)) }

// Bind binds a user. The same user again is fine, another one fails (409).
func (s *Session) Bind(uid string) error {
	if failure := host.Here.Bind(s.raw.ID, uid); failure != nil {
		return given(failure)
	}
	s.raw.UID = &uid
	return nil
}

// Unbind takes the binding back. Nothing happens if there is none.
func (s *Session) Unbind() error {
	if s.raw.UID == nil {
		return nil
	}
	if failure := host.Here.Unbind(s.raw.ID, *s.raw.UID); failure != nil {
		return given(failure)
	}
	s.raw.UID = nil
	return nil
}

// Kick tells the client why, and closes the connection.
func (s *Session) Kick(reason string) error { return given(host.Here.Kick(s.raw.ID, reason)) }

// Send sends a push message to this session, whether a user is bound or not.
func (s *Session) Send(route string, message any) error {
	body, err := encode(message)
	if err != nil {
		return err
	}
	return given(host.Here.Send(s.raw.ID, route, body))
}

// Address is the address of the client, ip:port as its frontend sees it.
func (s *Session) Address() (string, error) {
	address, failure := host.Here.Address(s.raw.ID)
	return address, given(failure)
}

func (s *Session) key() host.Key { return host.Key{Session: &s.raw.ID} }

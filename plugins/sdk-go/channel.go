package shaddock

import "shaddock/internal/host"

// Channel is a channel of this server, by its name. It begins with its first member, and ends with the last unless Create
// made it.
type Channel string

// Create makes the channel stay while it is empty. True if it is new.
func (c Channel) Create() (bool, error) {
	isNew, failure := host.Here.Create(string(c))
	return isNew, given(failure)
}

// Join adds a member. False if it was one already.
func (c Channel) Join(member Member) (bool, error) {
	isNew, failure := host.Here.Join(string(c), member)
	return isNew, given(failure)
}

// Leave removes a member. False if it was none.
func (c Channel) Leave(member Member) bool { return host.Here.Leave(string(c), member) }

// Members are the members; none if there is no such channel.
func (c Channel) Members() ([]Member, error) {
	members, failure := host.Here.Members(string(c))
	if failure != nil && failure.Code == 404 {
		return nil, nil
	}
	return members, given(failure)
}

// Find is the first member with this user id.
func (c Channel) Find(uid string) (Member, bool) { return host.Here.Find(string(c), uid) }

// Push sends a push message to everybody who is a member now; fails (404) if there is no such channel.
func (c Channel) Push(route string, message any) error {
	body, err := encode(message)
	if err != nil {
		return err
	}
	return given(host.Here.Push(string(c), route, body))
}

// Destroy removes the channel with all its members. False if there is none.
func (c Channel) Destroy() bool { return host.Here.Destroy(string(c)) }

// PushTo sends a push message to the users named; fails (400) if there are none.
func PushTo(members []Member, route string, message any) error {
	body, err := encode(message)
	if err != nil {
		return err
	}
	return given(host.Here.PushTo(members, route, body))
}

// Broadcast sends a push message to all sessions, or the bound ones, of every frontend of a type.
func Broadcast(serverType, route string, message any, boundOnly bool) error {
	body, err := encode(message)
	if err != nil {
		return err
	}
	return given(host.Here.Broadcast(serverType, route, body, boundOnly))
}

// Package host is what lies between the SDK and the host: the one side calls the other through interfaces, so that the SDK
// knows nothing of components, and can be tested on any machine.
package host

// SessionID says which frontend holds a session, and its number there.
type SessionID struct {
	Frontend string
	Number   uint64
}

// Setting is a setting of a session; the value is JSON.
type Setting struct {
	Key, Value string
}

// Session is a session as a call gets it.
type Session struct {
	ID SessionID
	// The user bound, or nil.
	UID      *string
	Settings []Setting
}

// Failure is why a call gives no result.
type Failure struct {
	Code      uint32
	Message   string
	Retryable bool
}

// Server is an entry of servers.json.
type Server struct {
	ID         string
	ServerType string
	Frontend   bool
	Host       string
	// Ports are 0 where there is none.
	Port       uint16
	ClientHost string
	ClientPort uint16
	// The whole entry as JSON.
	Fields string
}

// Member is a member of a channel.
type Member struct {
	UID      string
	Frontend string
}

// Key is what a call is routed by: a session, or a text.
type Key struct {
	Session *SessionID
	Text    string
}

// Answer is what one server of several answered.
type Answer struct {
	Server  string
	Body    []byte
	Failure *Failure
}

// Host is what a plugin can call.
type Host interface {
	Log(level uint8, message string)
	OwnServer() Server
	Servers(serverType string) []Server
	Server(id string) (Server, bool)
	ServerTypes() []string
	RandomBytes(count uint32) []byte

	Bind(id SessionID, uid string) *Failure
	Unbind(id SessionID, uid string) *Failure
	Set(id SessionID, key, value string) *Failure
	PushSettings(id SessionID, keys []string) *Failure
	Kick(id SessionID, reason string) *Failure
	Send(id SessionID, route string, body []byte) *Failure
	Address(id SessionID) (string, *Failure)

	Create(channel string) (bool, *Failure)
	Join(channel string, member Member) (bool, *Failure)
	Leave(channel string, member Member) bool
	Members(channel string) ([]Member, *Failure)
	Find(channel, uid string) (Member, bool)
	Push(channel, route string, body []byte) *Failure
	Destroy(channel string) bool
	PushTo(members []Member, route string, body []byte) *Failure
	Broadcast(serverType, route string, body []byte, boundOnly bool) *Failure

	Call(serverType string, key Key, method string, args []byte) ([]byte, *Failure)
	CallServer(id, method string, args []byte) ([]byte, *Failure)
	CallAll(serverType, method string, args []byte) []Answer
	Notify(serverType string, key Key, method string, args []byte) *Failure

	After(delayMs uint64, name string, payload []byte) (uint64, *Failure)
	Every(periodMs uint64, name string, payload []byte) (uint64, *Failure)
	Cancel(timer uint64) bool
}

// Plugin is what the host calls.
type Plugin interface {
	Routes() []string
	Handle(route string, body []byte, session Session) ([]byte, *Failure)
	Methods() []string
	Call(method string, args []byte) ([]byte, *Failure)
	ServerTypes() []string
	SetServers(serverType string, servers []Server)
	Route(serverType string, session *Session, text, method string) (string, *Failure)
	Init(settings string) *Failure
	Start(settings string) *Failure
	SessionClosed(session Session, reason string)
	Stop()
	Fired(name string, payload []byte) *Failure
}

var (
	// Here is the host that the plugin runs in.
	Here Host
	// Served is the plugin.
	Served Plugin
)

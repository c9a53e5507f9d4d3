package shaddock

import (
	"time"

	"shaddock/internal/host"
)

// Server is a server of the cluster.
type Server = host.Server

// Settings reads the plugin's own settings from plugins.json. What they do not name stays as it is.
func Settings(into any) error { return decodeInto(served.settings, into) }

// OwnServer is the server that the plugin runs in.
func OwnServer() Server { return host.Here.OwnServer() }

// Servers are the servers of a type that are up now, sorted by id.
func Servers(serverType string) []Server { return host.Here.Servers(serverType) }

// ServerByID is the server of that id, if it is up now.
func ServerByID(id string) (Server, bool) { return host.Here.Server(id) }

// ServerTypes are the types of the servers that are up now, sorted.
func ServerTypes() []string { return host.Here.ServerTypes() }

// TimerID is the number of a timer.
type TimerID uint64

// After calls the function that Timer names once, after a delay of at most 100 days.
func After(delay time.Duration, name string, payload any) (TimerID, error) {
	return timer(host.Host.After, delay, name, payload)
}

// Every calls it again and again, at least 10 milliseconds apart.
func Every(period time.Duration, name string, payload any) (TimerID, error) {
	return timer(host.Host.Every, period, name, payload)
}

func timer(
	begin func(host.Host, uint64, string, []byte) (uint64, *host.Failure),
	time time.Duration, name string, payload any,
) (TimerID, error) {
	body, err := encode(payload)
	if err != nil {
		return 0, err
	}
	if time < 0 {
		return 0, Fail(400, "a timer cannot go off in the past")
	}
	id, failure := begin(host.Here, uint64(time.Milliseconds()), name, body)
	return TimerID(id), given(failure)
}

// Cancel is false if there is no such timer any more.
func (t TimerID) Cancel() bool { return host.Here.Cancel(uint64(t)) }

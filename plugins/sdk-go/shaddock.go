// Package shaddock is for writing Shaddock plugins in Go.
//
// A plugin is a package main that names its functions in init, and has an empty main:
//
//	func init() {
//		shaddock.Route("area.playerHandler.move", move)
//	}
//
//	func main() {}
//
// Messages are JSON, and become the types of the functions' parameters; what a message does not have stays zero. The error
// that a function answers is the failure of the call: a [Failure] has a code, anything else, a panic too, the code 500.
// The packages log, log/slog, fmt, time and math/rand do what one expects: what they print goes to the server's log, and time
// and random numbers come from the host.
package shaddock

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"shaddock/internal/host"
)

// Failure is why a call gives no result: a code for the client, a message for the log and the caller of a remote.
type Failure struct {
	Code    uint32
	Message string
	// Whether the same call may succeed later without harm.
	Retryable bool
}

func (f *Failure) Error() string { return f.Message }

// Fail makes a Failure with a code. The message is that of [fmt.Sprintf].
func Fail(code uint32, format string, arguments ...any) error {
	return &Failure{Code: code, Message: fmt.Sprintf(format, arguments...)}
}

// None is the answer of a function that has none.
type None struct{}

type plugin struct {
	routes   table[func(body []byte, session *Session) ([]byte, error)]
	remotes  table[func(args []byte) ([]byte, error)]
	routers  table[func(key *RouteKey, servers []Server, method string) (Server, error)]
	timers   table[func(payload []byte) error]
	onInit   func() error
	onStart  func() error
	onStop   func() error
	onClosed func(session *Session, reason string) error
	servers  map[string][]Server
	settings string
}

var served = plugin{servers: map[string][]Server{}, settings: "{}"}

func init() {
	host.Served = &served
	slog.SetDefault(slog.New(logger{}))
}

// table has functions by name, and remembers the order in which they were named.
type table[F any] struct {
	names     []string
	functions map[string]F
}

func (t *table[F]) add(name string, function F) {
	if _, known := t.functions[name]; known {
		panic(fmt.Sprintf("%s is named twice", name))
	}
	if t.functions == nil {
		t.functions = map[string]F{}
	}
	t.names = append(t.names, name)
	t.functions[name] = function
}

// of finds a function; the host calls only what the plugin names.
func (t *table[F]) of(name string) (F, error) {
	function, known := t.functions[name]
	if !known {
		return function, Fail(404, "the plugin has no such function")
	}
	return function, nil
}

// Route names the handler of a route, serverType.handler.method.
func Route[Message, Answer any](name string, handle func(Message, *Session) (Answer, error)) {
	served.routes.add(name, func(body []byte, session *Session) ([]byte, error) {
		message, err := read[Message](body)
		if err != nil {
			return nil, err
		}
		answer, err := handle(message, session)
		if _, none := any(answer).(None); none || err != nil {
			return []byte{}, err
		}
		return encode(answer)
	})
}

// Remote names the function of a method that other plugins call, serverType.service.method.
func Remote[Args, Answer any](name string, call func(Args) (Answer, error)) {
	served.remotes.add(name, func(body []byte) ([]byte, error) {
		args, err := read[Args](body)
		if err != nil {
			return nil, err
		}
		answer, err := call(args)
		if _, none := any(answer).(None); none || err != nil {
			return []byte("null"), err
		}
		return encode(answer)
	})
}

// Router names the route function of a server type. It can call nothing of the host but the log, has no clock, and draws
// the same random numbers everywhere.
func Router(serverType string, route func(key *RouteKey, servers []Server, method string) (Server, error)) {
	served.routers.add(serverType, route)
}

// Timer names the function of the timers of that name.
func Timer[Payload any](name string, fire func(Payload) error) {
	served.timers.add(name, func(body []byte) error {
		payload, err := read[Payload](body)
		if err != nil {
			return err
		}
		return fire(payload)
	})
}

// OnInit names what runs in every new instance before its first call. Of the host it can reach only the log.
func OnInit(run func() error) { served.onInit = run }

// OnStart names what runs once per server, before clients are served.
func OnStart(run func() error) { served.onStart = run }

// OnStop names what runs once per server, before it stops.
func OnStop(run func() error) { served.onStop = run }

// OnSessionClosed names what runs on its frontend when a session has gone.
func OnSessionClosed(run func(session *Session, reason string) error) { served.onClosed = run }

// guard runs a call. Its error, or the panic that nobody recovered from, becomes its failure.
func guard(what string, run func() error) (failure *host.Failure) {
	fail := func(code uint32, retryable bool, format string, arguments ...any) *host.Failure {
		message := strings.ToValidUTF8(what+": "+fmt.Sprintf(format, arguments...), "?")
		return &host.Failure{Code: code, Message: message, Retryable: retryable}
	}
	defer func() {
		if raised := recover(); raised != nil {
			failure = fail(500, false, "panic: %v%s", raised, place())
		}
	}()
	err := run()
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*Failure](err); ok {
		return fail(known.Code, known.Retryable, "%s", err)
	}
	return fail(500, false, "%s", err)
}

// place says where the panic under way began: in the first function that is not the runtime's.
func place() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	raised := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if raised && !inRuntime {
			return fmt.Sprintf(" (%s:%d)", frame.File, frame.Line)
		}
		raised = raised || frame.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

func (p *plugin) Routes() []string      { return p.routes.names }
func (p *plugin) Methods() []string     { return p.remotes.names }
func (p *plugin) ServerTypes() []string { return p.routers.names }

func (p *plugin) Handle(route string, body []byte, raw host.Session) (answer []byte, failure *host.Failure) {
	failure = guard(route, func() error {
		handle, err := p.routes.of(route)
		if err == nil {
			answer, err = handle(body, &Session{raw: raw})
		}
		return err
	})
	return answer, failure
}

func (p *plugin) Call(method string, args []byte) (answer []byte, failure *host.Failure) {
	failure = guard(method, func() error {
		call, err := p.remotes.of(method)
		if err == nil {
			answer, err = call(args)
		}
		return err
	})
	return answer, failure
}

func (p *plugin) SetServers(serverType string, servers []host.Server) {
	p.servers[serverType] = servers
}

func (p *plugin) Route(serverType string, raw *host.Session, text, method string) (id string, failure *host.Failure) {
	failure = guard(serverType, func() error {
		route, err := p.routers.of(serverType)
		if err != nil {
			return err
		}
		key := RouteKey{Value: text}
		if raw != nil {
			key.Session = &Session{raw: *raw}
		}
		server, err := route(&key, p.servers[serverType], method)
		id = server.ID
		return err
	})
	return id, failure
}

func (p *plugin) begin(moment, settings string, run func() error) *host.Failure {
	p.settings = settings
	if run == nil {
		return nil
	}
	return guard(moment, run)
}

func (p *plugin) Init(settings string) *host.Failure  { return p.begin("init", settings, p.onInit) }
func (p *plugin) Start(settings string) *host.Failure { return p.begin("start", settings, p.onStart) }

func (p *plugin) SessionClosed(raw host.Session, reason string) {
	if p.onClosed != nil {
		tell(guard("session closed", func() error { return p.onClosed(&Session{raw: raw}, reason) }))
	}
}

func (p *plugin) Stop() {
	if p.onStop != nil {
		tell(guard("stop", p.onStop))
	}
}

// tell logs a failure that nobody waits for.
func tell(failure *host.Failure) {
	if failure != nil {
		slog.Warn(failure.Message)
	}
}

func (p *plugin) Fired(name string, payload []byte) *host.Failure {
	return guard("timer "+name, func() error {
		fire, err := p.timers.of(name)
		if err == nil {
			err = fire(payload)
		}
		return err
	})
}

// The cases that tests/tests/conformance.rs puts to every language.
package main

import (
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"shaddock"
)

func init() {
	shaddock.Route("connector.caseHandler.enter", enter)
	shaddock.Route("connector.caseHandler.relay", relay)
	shaddock.Route("conform.caseHandler.where", where)
	shaddock.Route("conform.caseHandler.join", join)
	shaddock.Route("conform.caseHandler.echo", echo)
	shaddock.Route("conform.caseHandler.ids", ids)
	shaddock.Route("conform.caseHandler.note", note)
	shaddock.Route("conform.caseHandler.fields", same[fields])
	shaddock.Route("conform.caseHandler.size", size)
	shaddock.Route("conform.caseHandler.big", big)
	shaddock.Route("conform.caseHandler.fail", fail)
	shaddock.Route("conform.caseHandler.crash", crash)
	shaddock.Route("conform.caseHandler.odd", odd)
	shaddock.Route("conform.caseHandler.wrong", wrong)
	shaddock.Route("conform.caseHandler.trap", trap)
	shaddock.Route("conform.caseHandler.spin", spin)
	shaddock.Route("conform.caseHandler.recurse", recurse)
	shaddock.Route("conform.caseHandler.print", print)
	shaddock.Route("conform.caseHandler.chance", chance)
	shaddock.Remote("conform.caseRemote.echo", func(args jsontext.Value) (jsontext.Value, error) { return args, nil })
	shaddock.Remote("conform.caseRemote.fail", failRemote)
	shaddock.Router("conform", route)
}

func main() {}

type nothing = jsontext.Value

type entry struct {
	Name string `json:"name"`
	To   string `json:"to,omitempty"`
}

// Notes where to go.
func enter(message entry, session *shaddock.Session) (entry, error) {
	err := errors.Join(session.Bind(message.Name), session.Set("to", message.To), session.Push())
	return entry{Name: message.Name}, err
}

// Calls a remote, and answers what became of it.
func relay(message struct {
	Method string         `json:"method"`
	Args   jsontext.Value `json:"args"`
}, _ *shaddock.Session) (map[string]any, error) {
	method := "caseRemote." + message.Method
	answer, err := shaddock.Call[jsontext.Value]("conform", shaddock.Text("relay"), method, message.Args)
	if failure, ok := errors.AsType[*shaddock.Failure](err); ok {
		return map[string]any{"code": failure.Code, "message": failure.Message}, nil
	}
	return map[string]any{"answer": answer}, err
}

func route(key *shaddock.RouteKey, servers []shaddock.Server, _ string) (shaddock.Server, error) {
	to := key.Text("to")
	if to == "nowhere" {
		return shaddock.Server{}, shaddock.Fail(418, "no such way")
	}
	return shaddock.Pick(to, servers)
}

func where(nothing, *shaddock.Session) (map[string]string, error) {
	return map[string]string{"server": shaddock.OwnServer().ID}, nil
}

func join(_ nothing, session *shaddock.Session) (none shaddock.None, err error) {
	member, err := session.Member()
	if err == nil {
		_, err = shaddock.Channel("all").Join(member)
	}
	return none, err
}

func same[T any](message T, _ *shaddock.Session) (T, error) { return message, nil }

// As a value of Go: numbers are float64.
func echo(message any, _ *shaddock.Session) (any, error) { return message, nil }

type id struct {
	ID   uint64 `json:"id"`
	Text string `json:"text"`
}

func ids(message id, _ *shaddock.Session) (id, error) {
	message.Text = strconv.FormatUint(message.ID, 10)
	return message, nil
}

func note(message jsontext.Value, _ *shaddock.Session) (none shaddock.None, err error) {
	return none, shaddock.Channel("all").Push("onNote", message)
}

type fields struct {
	Maybe *string `json:"maybe"`
}

type text struct {
	Text string `json:"text"`
}

type chars struct {
	Chars int `json:"chars"`
}

func size(message text, _ *shaddock.Session) (chars, error) {
	return chars{utf8.RuneCountInString(message.Text)}, nil
}

func big(message chars, _ *shaddock.Session) (text, error) {
	return text{strings.Repeat("x", message.Chars)}, nil
}

type failing struct {
	Code    uint32 `json:"code"`
	Message string `json:"message"`
}

func failRemote(args failing) (none shaddock.None, err error) {
	return none, shaddock.Fail(args.Code, "%s", args.Message)
}

func fail(message failing, _ *shaddock.Session) (shaddock.None, error) { return failRemote(message) }

func crash(message text, _ *shaddock.Session) (none shaddock.None, err error) {
	return none, errors.New(message.Text)
}

// Panics with a value that is no error.
func odd(message text, _ *shaddock.Session) (none shaddock.None, err error) {
	panic(message)
}

func wrong(nothing, *shaddock.Session) (any, error) {
	return func() {}, nil
}

func trap(nothing, *shaddock.Session) (none shaddock.None, err error) {
	os.Exit(1)
	return none, nil
}

func spin(nothing, *shaddock.Session) (none shaddock.None, err error) {
	for {
	}
}

func deeper(depth int) int {
	return 1 + deeper(depth+1)
}

func recurse(nothing, *shaddock.Session) (map[string]int, error) {
	return map[string]int{"depth": deeper(0)}, nil
}

func print(message text, _ *shaddock.Session) (none shaddock.None, err error) {
	fmt.Printf("%s \x00\x1b[31m\xff\xc3\xed\xa0\x80\nforged\n", message.Text)
	fmt.Print("begun, and not ended")
	return none, nil
}

func chance(nothing, *shaddock.Session) (map[string]float64, error) {
	return map[string]float64{"number": rand.Float64()}, nil
}

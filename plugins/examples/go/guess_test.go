package main

import (
	"errors"
	"fmt"
	"testing"

	"shaddock"
	"shaddock/shaddocktest"
)

// A player in a room, with the host.
func player(t *testing.T) (*shaddocktest.Host, shaddocktest.Session) {
	clear(rounds)
	host := shaddocktest.New(map[string]int{"roundMs": 1000})
	ann := host.Connect("")
	if _, err := host.Request(ann, "connector.roomHandler.enter", entry{"ann", "lobby"}); err != nil {
		t.Fatal(err)
	}
	answer, err := host.Request(ann, "guess.roomHandler.join", nil)
	if want := `{"players":["ann"],"room":"lobby","round":1}`; err != nil || answer != want {
		t.Fatalf("%s %v, not %s", answer, err, want)
	}
	return host, ann
}

func TestEnteringBindsTheUserAndNotesTheRoom(t *testing.T) {
	host, ann := player(t)
	if host.UID(ann) != "ann" || host.Setting(ann, "room") != `"lobby"` {
		t.Errorf("%q in %s", host.UID(ann), host.Setting(ann, "room"))
	}
}

func TestTheSecretIsRightAndBeginsANewRound(t *testing.T) {
	host, ann := player(t)
	secret := rounds["lobby"].secret
	answer, err := host.Request(ann, "guess.roomHandler.guess", attempt{float64(secret)})
	if err != nil || answer != `{"answer":"right","round":1}` {
		t.Errorf("%s %v", answer, err)
	}
	told := host.Pushes[len(host.Pushes)-1]
	want := fmt.Sprintf(`{"name":"ann","number":%d,"room":"lobby","round":1}`, secret)
	if told.Route != "onRight" || told.Body != want || len(told.To) != 1 || told.To[0] != "ann" {
		t.Errorf("%+v", told)
	}
	if len(host.Timers) != 1 || host.Timers[0].Payload != `{"room":"lobby","round":2}` || host.Timers[0].Ms != 1000 {
		t.Errorf("%+v", host.Timers)
	}
}

func TestTimeIsUp(t *testing.T) {
	host, _ := player(t)
	if err := host.Fire(host.Timers[0]); err != nil {
		t.Fatal(err)
	}
	if told := host.Pushes[len(host.Pushes)-1]; told.Route != "onTimeout" || rounds["lobby"].number != 2 {
		t.Errorf("%+v", told)
	}
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	host, ann := player(t)
	for _, number := range []float64{0, 101, 1.5} {
		_, err := host.Request(ann, "guess.roomHandler.guess", attempt{number})
		failure, ok := errors.AsType[*shaddock.Failure](err)
		if !ok || failure.Code != 400 {
			t.Errorf("%v: %v", number, err)
		}
	}
	_, err := host.Request(ann, "guess.roomHandler.crash", map[string]string{"text": "boom"})
	if failure, ok := errors.AsType[*shaddock.Failure](err); !ok || failure.Code != 500 {
		t.Error(err)
	}
}

func TestWhoLeavesIsGone(t *testing.T) {
	host, ann := player(t)
	host.Answers("guess.roomRemote.leave", func(args []byte) (any, error) {
		_, err := host.Remote("guess.roomRemote.leave", map[string]string{
			"frontend": shaddocktest.Frontend, "room": "lobby", "uid": "ann",
		})
		return nil, err
	})
	host.Disconnect(ann, "client closed")
	if len(host.Calls) != 1 || rounds["lobby"] != nil || len(host.Timers) != 0 {
		t.Errorf("%+v %+v %+v", host.Calls, rounds, host.Timers)
	}
}

package shaddock

import "shaddock/internal/host"

// Key is what a call is routed by: a [*Session], or a [Text].
type Key interface {
	key() host.Key
}

// Text is a caller's own text to route by.
type Text string

func (t Text) key() host.Key { return host.Key{Text: string(t)} }

func answerOf[Answer any](body []byte, failure *host.Failure) (answer Answer, err error) {
	if failure != nil {
		return answer, given(failure)
	}
	return decode[Answer](body)
}

// Call calls the remote service.method on one server of a type, picked by its route function.
func Call[Answer any](serverType string, key Key, method string, args any) (answer Answer, err error) {
	body, err := encode(args)
	if err != nil {
		return answer, err
	}
	return answerOf[Answer](host.Here.Call(serverType, key.key(), method, body))
}

// CallServer calls one server by its id.
func CallServer[Answer any](id, method string, args any) (answer Answer, err error) {
	body, err := encode(args)
	if err != nil {
		return answer, err
	}
	return answerOf[Answer](host.Here.CallServer(id, method, body))
}

// Outcome is what one server of several answered.
type Outcome[Answer any] struct {
	Server string
	Answer Answer
	Err    error
}

// CallAll calls all servers of a type at once.
func CallAll[Answer any](serverType, method string, args any) ([]Outcome[Answer], error) {
	body, err := encode(args)
	if err != nil {
		return nil, err
	}
	var outcomes []Outcome[Answer]
	for _, answer := range host.Here.CallAll(serverType, method, body) {
		outcome := Outcome[Answer]{Server: answer.Server}
		outcome.Answer, outcome.Err = answerOf[Answer](answer.Body, answer.Failure)
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}

// Notify is Call without waiting for the outcome.
func Notify(serverType string, key Key, method string, args any) error {
	body, err := encode(args)
	if err != nil {
		return err
	}
	return given(host.Here.Notify(serverType, key.key(), method, body))
}

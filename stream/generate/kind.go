// SPDX-License-Identifier: Apache-2.0

package generate

// kind is what a message says. Track messages have the names of the Segment spec where it
// has one.
type kind uint8

const (
	noKind kind = iota
	page
	screen
	identify
	group

	signedUp
	newsletter
	searched
	listViewed
	productViewed
	productAdded
	productRemoved
	checkout
	order
	refunded
	cancelled
	favoured
	unfavoured
	reviewed
	rewardsJoined
	rewardsLeft
	inviteSent
	inviteAccepted

	articleRead
	videoStarted
	benefitUsed
	trialStarted
	subscribed
	renewed
	subscriptionEnded

	pointsRedeemed

	featureUsed
	deposited
	offerAccepted
	bankLinked
	bankUnlinked

	tutorialStarted
	tutorialCompleted

	emailDelivered
	emailBounced
	emailOpened
	emailClicked
	unsubscribed
	pushDelivered
	pushClicked
	smsDelivered
	smsClicked
	inAppShown
	inAppClicked
	webPushDelivered
	webPushClicked

	kinds
)

// tracks are the names of track messages.
var tracks = [kinds]string{ //nolint:gochecknoglobals // a table
	signedUp: "Signed Up", newsletter: "Newsletter Subscribed",
	searched: "Products Searched", listViewed: "Product List Viewed", productViewed: "Product Viewed",
	productAdded: "Product Added", productRemoved: "Product Removed", checkout: "Checkout Started",
	order: "Order Completed", refunded: "Order Refunded", cancelled: "Order Cancelled",
	favoured: "Product Added to Wishlist", unfavoured: "Product Removed from Wishlist", reviewed: "Product Reviewed",
	rewardsJoined: "Rewards Joined", rewardsLeft: "Rewards Left",
	inviteSent: "Invite Sent", inviteAccepted: "Invite Accepted",
	articleRead: "Article Read", videoStarted: "Video Playback Started", benefitUsed: "Partner Benefit Used",
	trialStarted: "Trial Started", subscribed: "Subscription Started", renewed: "Subscription Renewed", subscriptionEnded: "Subscription Ended",
	pointsRedeemed: "Points Redeemed",
	featureUsed:    "Feature Used", deposited: "Funds Deposited", offerAccepted: "Offer Accepted",
	bankLinked: "Bank Account Linked", bankUnlinked: "Bank Account Unlinked",
	tutorialStarted: "Tutorial Started", tutorialCompleted: "Tutorial Completed",
	emailDelivered: "Email Delivered", emailBounced: "Email Bounced", emailOpened: "Email Opened",
	emailClicked: "Email Link Clicked", unsubscribed: "Unsubscribed",
	pushDelivered: "Push Notification Received", pushClicked: "Push Notification Tapped",
	smsDelivered: "SMS Delivered", smsClicked: "SMS Link Clicked",
	inAppShown: "In-App Message Viewed", inAppClicked: "In-App Message Clicked",
	webPushDelivered: "Web Push Notification Received", webPushClicked: "Web Push Notification Tapped",
}

// passive reports whether a message is no sign of life: it was sent to the customer, or
// happens without a visit.
func (k kind) passive() bool {
	switch k {
	case identify, group, signedUp, newsletter, refunded, cancelled, inviteAccepted, subscribed, renewed, subscriptionEnded,
		emailDelivered, emailBounced, emailOpened, emailClicked, unsubscribed, pushDelivered, pushClicked,
		smsDelivered, smsClicked, inAppShown, webPushDelivered, webPushClicked, rewardsLeft, bankUnlinked:
		return true
	default:
		return false
	}
}

// flags tell messages of one kind apart.
type flags uint16

const (
	anonymous flags = 1 << iota // before the customer is known
	onApp                       // else on the site
	onPhone                     // of the site: a phone's browser
	deal                        // an order: what a campaign offered
	points                      // an order: paid with points
	machine                     // opened by a mail programme, not by a person
	promised                    // brought about by the experiment: its goal's own gate lets it through
	bad                         // cannot be used, on purpose
)

// message is all that a message is made of. Its text follows from it and the customer.
type message struct {
	arrival  int64 // its place in the output, ms
	at       int64 // event time, ms
	seed     uint64
	customer uint32
	arg      uint32 // by kind: of an order its number, of an exposure campaign and variant, a feature, who invited
	kind     kind
	flags    flags
}

"""The vocabulary of made-up texts and names."""

WORDS = """
account address after again agent amount answer anyone app archive attached back balance bank
basket because before billing book branch broken browser button call cancel card carrier cash
change charge check city click client code colleague company confirm contact copy country credit
customer data date deadline delay delete delivery desk device different discount document double
download draft driver early email empty employee error evening every exactly example expected
export express failed fast feature field file final find first fix folder form found friday friend
full gift group half help history home hour house idea image import invoice item january join july
june keep key label language last late letter limit line link list local lock login long lost mail
manager march market maybe meeting member menu message minute missing mobile moment monday money
month morning move name need network never new next night nobody north note nothing notice number
office often open option order other package page paid paper parcel part partner password payment
people phone photo picture place plan please point post price print problem product profile
project proof public question quick rate reason receipt refund region remove reply report reset
result return review right road room safe sale same save screen search second secure send server
session setting share ship shop short show side sign single small someone soon south start state
station status stock stop store street strange string summer support switch system table team test
text thank thing ticket time today token total town track train transfer travel truck trust type
under update upload urgent user value version video visit wait wall warehouse wednesday week
weight west window winter wish without word work worker wrong year yesterday zone
"""
FIRST = """
ada ben carla dmitri elif farid grace hiro ines jonas kira luca mara nils olga priya quinn rosa
sven tariq uma vera wanda xenia yusuf zoe
"""
LAST = """
adler brook costa diaz evans fischer green hansen ito jensen kaya lopez meyer novak
"""

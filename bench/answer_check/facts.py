"""What the tasks are made of: pairs that everybody can look up."""


def pairs(text: str) -> list[tuple[str, str]]:
    """`a=b` pairs, separated by commas."""
    return [(a.strip(), b.strip()) for a, b in (part.split("=") for part in text.split(","))]


CAPITALS = pairs(
    "France=Paris,Germany=Berlin,Italy=Rome,Spain=Madrid,Portugal=Lisbon,Poland=Warsaw,"
    "Austria=Vienna,"
    "Hungary=Budapest,Greece=Athens,Sweden=Stockholm,Norway=Oslo,Denmark=Copenhagen,Finland=Helsinki,"
    "Ireland=Dublin,Belgium=Brussels,Russia=Moscow,Ukraine=Kyiv,Turkey=Ankara,Egypt=Cairo,Kenya=Nairobi,"
    "Ethiopia=Addis Ababa,Morocco=Rabat,Algeria=Algiers,Tunisia=Tunis,Ghana=Accra,Nigeria=Abuja,"
    "Senegal=Dakar,Japan=Tokyo,China=Beijing,India=New Delhi,Pakistan=Islamabad,Nepal=Kathmandu,"
    "Thailand=Bangkok,Vietnam=Hanoi,Indonesia=Jakarta,Malaysia=Kuala Lumpur,Australia=Canberra,"
    "New Zealand=Wellington,Canada=Ottawa,Mexico=Mexico City,Cuba=Havana,Brazil=Brasilia,"
    "Argentina=Buenos Aires,Chile=Santiago,Peru=Lima,Colombia=Bogota,Ecuador=Quito,"
    "Uruguay=Montevideo,"
    "Iran=Tehran,Iraq=Baghdad,Jordan=Amman,Lebanon=Beirut,Israel=Jerusalem,Mongolia=Ulaanbaatar,"
    "Georgia=Tbilisi,Armenia=Yerevan,Latvia=Riga,Lithuania=Vilnius,Estonia=Tallinn,Croatia=Zagreb,"
    "Serbia=Belgrade,Bulgaria=Sofia,Romania=Bucharest,Iceland=Reykjavik,Malta=Valletta,Cyprus=Nicosia,"
    "Zambia=Lusaka,Zimbabwe=Harare,Angola=Luanda,Namibia=Windhoek,Uganda=Kampala,Rwanda=Kigali"
)
OPPOSITES = pairs(
    "hot=cold,big=small,fast=slow,high=low,early=late,open=closed,full=empty,hard=soft,rich=poor,"
    "young=old,light=dark,wet=dry,up=down,left=right,happy=sad,strong=weak,thick=thin,deep=shallow,"
    "loud=quiet,clean=dirty,near=far,win=lose,buy=sell,push=pull,begin=end,love=hate,true=false,"
    "day=night,inside=outside,above=below,first=last,increase=decrease,success=failure,war=peace,"
    "friend=enemy,arrive=depart,ancient=modern,narrow=wide,brave=cowardly,generous=stingy,"
    "smooth=rough,sharp=blunt,guilty=innocent,victory=defeat,import=export,expand=contract,"
    "accept=reject,attack=defend,borrow=lend,create=destroy,hero=villain,maximum=minimum"
)
PAST = pairs(
    "go=went,eat=ate,see=saw,take=took,give=gave,write=wrote,run=ran,sing=sang,swim=swam,drink=drank,"
    "begin=began,break=broke,speak=spoke,choose=chose,drive=drove,ride=rode,fly=flew,grow=grew,"
    "know=knew,throw=threw,draw=drew,buy=bought,bring=brought,think=thought,teach=taught,catch=caught,"
    "fight=fought,seek=sought,sleep=slept,keep=kept,leave=left,feel=felt,meet=met,lead=led,build=built,"
    "send=sent,spend=spent,lend=lent,lose=lost,make=made,say=said,tell=told,sell=sold,hold=held,"
    "stand=stood,understand=understood,find=found,bind=bound,dig=dug,stick=stuck,hang=hung,shine=shone,"
    "forget=forgot,freeze=froze,steal=stole,wake=woke,wear=wore,tear=tore,bear=bore,swear=swore"
)
PLURALS = pairs(
    "cat=cats,box=boxes,city=cities,child=children,man=men,woman=women,foot=feet,tooth=teeth,"
    "mouse=mice,goose=geese,leaf=leaves,knife=knives,wolf=wolves,life=lives,potato=potatoes,hero=heroes,"
    "baby=babies,lady=ladies,bus=buses,dish=dishes,church=churches,fox=foxes,person=people,ox=oxen,"
    "cactus=cacti,half=halves,shelf=shelves,thief=thieves,party=parties,story=stories,key=keys,toy=toys,"
    "piano=pianos,tomato=tomatoes,glass=glasses,wish=wishes,analysis=analyses,crisis=crises,"
    "phenomenon=phenomena,criterion=criteria,datum=data,index=indices,fungus=fungi,louse=lice"
)
SPANISH = pairs(
    "dog=perro,cat=gato,house=casa,water=agua,bread=pan,milk=leche,book=libro,table=mesa,chair=silla,"
    "sun=sol,moon=luna,red=rojo,blue=azul,green=verde,white=blanco,black=negro,friend=amigo,school=escuela,"
    "night=noche,day=día,fire=fuego,hand=mano,head=cabeza,heart=corazón,tree=árbol,fish=pescado,"
    "city=ciudad,street=calle,money=dinero,time=tiempo,love=amor,bird=pájaro,horse=caballo,cow=vaca,"
    "apple=manzana,orange=naranja,egg=huevo,cheese=queso,salt=sal,sugar=azúcar,window=ventana,door=puerta,"
    "kitchen=cocina,bed=cama,shoe=zapato,shirt=camisa,rain=lluvia,snow=nieve,wind=viento,sea=mar"
)
SYMBOLS = pairs(
    "hydrogen=H,helium=He,carbon=C,nitrogen=N,oxygen=O,sodium=Na,magnesium=Mg,aluminium=Al,silicon=Si,"
    "phosphorus=P,sulfur=S,chlorine=Cl,potassium=K,calcium=Ca,iron=Fe,copper=Cu,zinc=Zn,silver=Ag,"
    "tin=Sn,gold=Au,mercury=Hg,lead=Pb,uranium=U,nickel=Ni,cobalt=Co,iodine=I,neon=Ne,argon=Ar,"
    "lithium=Li,titanium=Ti,platinum=Pt,tungsten=W,bromine=Br,barium=Ba,manganese=Mn,chromium=Cr"
)
AUTHORS = pairs(
    "Hamlet=Shakespeare,1984=Orwell,War and Peace=Tolstoy,The Odyssey=Homer,Don Quixote=Cervantes,"
    "Pride and Prejudice=Austen,Moby-Dick=Melville,The Great Gatsby=Fitzgerald,Ulysses=Joyce,"
    "Crime and Punishment=Dostoevsky,Oliver Twist=Dickens,Frankenstein=Shelley,Dracula=Stoker,"
    "The Trial=Kafka,Faust=Goethe,The Hobbit=Tolkien,Jane Eyre=Bronte,The Divine Comedy=Dante,"
    "Les Miserables=Hugo,Madame Bovary=Flaubert,The Stranger=Camus,Brave New World=Huxley,"
    "The Jungle Book=Kipling,Treasure Island=Stevenson,The Time Machine=Wells,Emma=Austen,"
    "Great Expectations=Dickens,Animal Farm=Orwell,Macbeth=Shakespeare,Anna Karenina=Tolstoy,"
    "The Old Man and the Sea=Hemingway,Lolita=Nabokov,Siddhartha=Hesse,Peter Pan=Barrie"
)
YES = [
    "Is a whale a mammal?",
    "Is the Earth round?",
    "Is ice frozen water?",
    "Is 7 a prime number?",
    "Is gold a metal?",
    "Is Paris in France?",
    "Do fish live in water?",
    "Is the sun a star?",
    "Is Africa a continent?",
    "Do bees make honey?",
    "Is a tomato a fruit?",
    "Is 10 greater than 9?",
    "Do birds have feathers?",
    "Is Mars a planet?",
    "Is steel strong?",
    "Does a triangle have three sides?",
    "Is Spanish spoken in Mexico?",
    "Is water a liquid at room temperature?",
    "Is the heart an organ?",
    "Can penguins swim?",
    "Is a bat a mammal?",
    "Is oxygen a gas?",
    "Do plants need light?",
    "Is the Pacific an ocean?",
    "Is 64 a square number?",
]
NO = [
    "Is a spider an insect?",
    "Is the moon a planet?",
    "Is 9 a prime number?",
    "Is London in Germany?",
    "Can pigs fly?",
    "Is iron lighter than paper?",
    "Is the sun cold?",
    "Is a penguin a fish?",
    "Do snakes have legs?",
    "Is 5 greater than 8?",
    "Is a square round?",
    "Is Asia a country?",
    "Is wood a metal?",
    "Is the Nile in Europe?",
    "Does a week have nine days?",
    "Is a dolphin a fish?",
    "Is Australia in Europe?",
    "Is ice hot?",
    "Is a potato an animal?",
    "Is helium a solid?",
    "Is 21 a prime number?",
    "Do humans have three lungs?",
    "Is Brazil in Asia?",
    "Is milk blue?",
    "Is a minute longer than an hour?",
]
WORDS = [
    "table",
    "window",
    "garden",
    "river",
    "mountain",
    "bottle",
    "pencil",
    "yellow",
    "orange",
    "silver",
    "winter",
    "summer",
    "monkey",
    "rabbit",
    "guitar",
    "basket",
    "candle",
    "dragon",
    "engine",
    "forest",
    "hammer",
    "island",
    "jacket",
    "kitten",
    "ladder",
    "magnet",
    "needle",
    "office",
    "pocket",
    "quartz",
    "rocket",
    "saddle",
    "ticket",
    "useful",
    "violin",
    "walnut",
    "zipper",
    "anchor",
    "bridge",
    "cactus",
]

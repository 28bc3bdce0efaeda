"""What the tasks are made of: pairs that everybody can look up."""


def pairs(text: str) -> list[tuple[str, str]]:
    """`a=b` pairs, separated by commas."""
    return [(a.strip(), b.strip()) for a, b in (part.split("=") for part in text.split(","))]


def words(text: str) -> list[str]:
    """Words, separated by commas."""
    return text.split(",")


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
    "tin=Sn,gold=Au,mercury=Hg,lead=Pb,uranium=U,nickel=Ni,cobalt=Co,neon=Ne,argon=Ar,"
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
CONTINENTS = pairs(
    "France=Europe,Japan=Asia,Egypt=Africa,Brazil=South America,Canada=North America,"
    "Kenya=Africa,Germany=Europe,China=Asia,Peru=South America,Mexico=North America,Italy=Europe,"
    "India=Asia,Nigeria=Africa,Chile=South America,Spain=Europe,Thailand=Asia,Morocco=Africa,"
    "Argentina=South America,Poland=Europe,Vietnam=Asia,Ghana=Africa,Colombia=South America,"
    "Norway=Europe,Iran=Asia,Ethiopia=Africa,Portugal=Europe,Nepal=Asia,Zambia=Africa,"
    "Bolivia=South America,Greece=Europe,Mongolia=Asia,Angola=Africa,Sweden=Europe,Iraq=Asia,"
    "Senegal=Africa,Ecuador=South America,Austria=Europe,Pakistan=Asia,Uganda=Africa,"
    "Uruguay=South America,Cuba=North America,Belgium=Europe,Malaysia=Asia,Namibia=Africa,"
    "Ireland=Europe"
)
YOUNG = pairs(
    "dog=puppy,cat=kitten,cow=calf,horse=foal,sheep=lamb,goat=kid,pig=piglet,hen=chick,"
    "duck=duckling,goose=gosling,bear=cub,lion=cub,tiger=cub,wolf=pup,deer=fawn,kangaroo=joey,"
    "frog=tadpole,swan=cygnet,owl=owlet,eagle=eaglet,elephant=calf,whale=calf,seal=pup,fox=cub,"
    "hare=leveret,butterfly=caterpillar"
)
FRENCH = pairs(
    "dog=chien,cat=chat,house=maison,water=eau,bread=pain,milk=lait,book=livre,table=table,"
    "chair=chaise,sun=soleil,moon=lune,red=rouge,blue=bleu,green=vert,white=blanc,black=noir,"
    "friend=ami,school=école,night=nuit,day=jour,fire=feu,hand=main,head=tête,heart=coeur,"
    "tree=arbre,fish=poisson,city=ville,street=rue,money=argent,love=amour,bird=oiseau,"
    "horse=cheval,apple=pomme,egg=oeuf,cheese=fromage,salt=sel,sugar=sucre,window=fenêtre,"
    "door=porte,rain=pluie,snow=neige,sea=mer"
)
KINDS = pairs(
    "apple=fruit,carrot=vegetable,dog=animal,banana=fruit,potato=vegetable,horse=animal,"
    "cherry=fruit,onion=vegetable,tiger=animal,peach=fruit,cabbage=vegetable,rabbit=animal,"
    "grape=fruit,spinach=vegetable,sparrow=animal,mango=fruit,broccoli=vegetable,salmon=animal,"
    "pear=fruit,garlic=vegetable,elephant=animal,plum=fruit,lettuce=vegetable,snake=animal,"
    "lemon=fruit,celery=vegetable,monkey=animal,orange=fruit,leek=vegetable,whale=animal,"
    "melon=fruit,radish=vegetable,spider=animal,apricot=fruit,turnip=vegetable,goat=animal,"
    "strawberry=fruit,beetroot=vegetable,eagle=animal,kiwi=fruit,cauliflower=vegetable,"
    "frog=animal,pineapple=fruit,asparagus=vegetable,shark=animal"
)
MOODS = pairs(
    "The food was wonderful=positive,I hated every minute=negative,"
    "Great service and kind staff=positive,It broke after one day=negative,"
    "I would buy it again=positive,A complete waste of money=negative,"
    "The room was clean and quiet=positive,The soup was cold and the waiter rude=negative,"
    "My children love it=positive,Nobody answered the phone=negative,"
    "The best film of the year=positive,I fell asleep from boredom=negative,"
    "Fast delivery and well packed=positive,The parcel arrived damaged=negative,"
    "Works exactly as promised=positive,It smells terrible=negative,What a lovely view=positive,"
    "The bed was full of bugs=negative,I am very happy with it=positive,"
    "I want my money back=negative,The doctor was patient and friendly=positive,"
    "We waited for three hours=negative,Delicious from the first bite=positive,"
    "The instructions are useless=negative,An excellent teacher=positive,"
    "The worst trip of my life=negative,The sound is clear and rich=positive,"
    "The screen cracked at once=negative,It made my day=positive,They charged me twice=negative,"
    "A charming little hotel=positive,The website never loads=negative,"
    "Highly recommended=positive,Never again=negative,The colours are beautiful=positive,"
    "The fabric feels cheap=negative,It saved me a lot of time=positive,"
    "The app crashes all the time=negative,Everyone was so helpful=positive,"
    "I regret buying this=negative"
)
YES_NO = pairs(
    "Is a whale a mammal=yes,Is the Earth round=yes,Is ice frozen water=yes,"
    "Is 7 a prime number=yes,Is gold a metal=yes,Is Paris in France=yes,"
    "Do fish live in water=yes,Is the sun a star=yes,Is Africa a continent=yes,"
    "Do bees make honey=yes,Is a tomato a fruit=yes,Is 10 greater than 9=yes,"
    "Do birds have feathers=yes,Is Mars a planet=yes,Is steel strong=yes,"
    "Does a triangle have three sides=yes,Is Spanish spoken in Mexico=yes,"
    "Is water a liquid at room temperature=yes,Is the heart an organ=yes,Can penguins swim=yes,"
    "Is a bat a mammal=yes,Is oxygen a gas=yes,Do plants need light=yes,"
    "Is the Pacific an ocean=yes,Is 64 a square number=yes,Is a spider an insect=no,"
    "Is the moon a planet=no,Is 9 a prime number=no,Is London in Germany=no,Can pigs fly=no,"
    "Is iron lighter than paper=no,Is the sun cold=no,Is a penguin a fish=no,"
    "Do snakes have legs=no,Is 5 greater than 8=no,Is a square round=no,Is Asia a country=no,"
    "Is wood a metal=no,Is the Nile in Europe=no,Does a week have nine days=no,"
    "Is a dolphin a fish=no,Is Australia in Europe=no,Is ice hot=no,Is a potato an animal=no,"
    "Is helium a solid=no,Is 21 a prime number=no,Do humans have three lungs=no,"
    "Is Brazil in Asia=no,Is milk blue=no,Is a minute longer than an hour=no"
)
WORDS = words(
    "table,window,garden,river,mountain,bottle,pencil,yellow,orange,silver,winter,summer,monkey,"
    "rabbit,guitar,basket,candle,dragon,engine,forest,hammer,island,jacket,kitten,ladder,magnet,"
    "needle,office,pocket,quartz,rocket,saddle,ticket,useful,violin,walnut,zipper,anchor,bridge,"
    "cactus,butter,circle,donkey,flower,garlic,hunter,insect,jungle,letter,market,nature,oyster,"
    "parrot,rubber,spider,throat,valley,wizard,yogurt,turtle"
)
NAMES = words(
    "Anna,Ben,Clara,David,Emma,Frank,Grace,Henry,Irene,Jack,Karen,Leo,Maria,Nick,Olga,Paul,Rosa,"
    "Sam,Tina,Victor"
)
TOWNS = words(
    "Paris,Boston,Madrid,Oslo,Cairo,Lima,Berlin,Tokyo,Dublin,Sydney,Rome,Chicago,Vienna,Athens,"
    "Delhi,Seattle"
)
JOBS = words(
    "teacher,nurse,pilot,farmer,lawyer,baker,engineer,painter,doctor,driver,cook,writer,plumber,"
    "dentist"
)
THINGS = words("apples,books,coins,pencils,stamps,marbles,cookies,balls,flowers,keys,shirts,stones")
